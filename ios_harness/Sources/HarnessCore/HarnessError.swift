/// Why a start gave up; it becomes the last line of the events.
public struct HarnessError: Error, Equatable, Sendable {
    /// One word for what kind of thing went wrong, lower case, as the driver knows them.
    public enum Code: String, Sendable {
        /// A pushed file isn't the bytes that were sent.
        case changed
        /// A file can't be read or written.
        case file
        /// The options can't be meant.
        case options
        /// The runtime can't load the model, or it takes or gives something else than was said.
        case model
        /// The runtime failed in a run.
        case runtime
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
