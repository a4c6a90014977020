import Foundation

/// Writes the lines of one start as they come, and keeps what its last line says of them.
public final class EventLog {
    private let write: (Data) throws -> Void
    private var digest = SHA256()
    private var lines = 0

    /// - Parameter write: takes each line, with its line feed.
    public init(_ write: @escaping (Data) throws -> Void) {
        self.write = write
    }

    public func say(_ event: Event) throws {
        let line = Data((try event.line() + "\n").utf8)
        try write(line)
        digest.update(line)
        lines += 1
    }

    /// Say that all went well, and that this is all.
    public func end(warmup: Int, runs: Int, clips: Int) throws {
        try say(.end(warmup: warmup, runs: runs, clips: clips, lines: lines, linesSha256: digest.finish()))
    }
}
