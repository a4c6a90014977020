/// A loaded model that takes one clip and gives its logits, both float32.
///
/// Setting the clip and reading the logits stand apart from the run, so that only the run is timed.
public protocol Model: AnyObject {
    var about: ModelFacts { get }

    /// Take the clip for the runs that follow; its values are in the order of the input's shape.
    func take(_ clip: [Float]) throws

    /// Run once.
    func predict() throws

    /// The logits of the last run.
    func logits() throws -> [Float]
}

/// What is known of a model once it is loaded.
public struct ModelFacts: Equatable, Sendable {
    public let input: [Int]
    public let output: [Int]
    /// Nanoseconds to compile the package, which an app that comes with its model has behind it; nil: it came compiled.
    public let compileNs: UInt64?
    /// Nanoseconds from the compiled model's name to a model that could run.
    public let loadNs: UInt64
    /// What runs it, such as the compute units that it was given.
    public let delegate: String?

    public init(input: [Int], output: [Int], compileNs: UInt64?, loadNs: UInt64, delegate: String?) {
        (self.input, self.output, self.compileNs) = (input, output, compileNs)
        (self.loadNs, self.delegate) = (loadNs, delegate)
    }
}
