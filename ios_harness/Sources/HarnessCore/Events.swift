import Foundation

/// A line of the protocol. Every key is there, with null where a value is unknown: the driver refuses a line without.
public enum Event: Equatable, Sendable {
    public static let protocolVersion = 1

    public enum Phase: String, Codable, Sendable {
        case clip, warmup, timed
    }

    case device(runner: String, runtime: String, version: String, abi: String, cores: Int)
    case load(loadNs: UInt64, delegate: String?, input: [Int], output: [Int])
    case run(phase: Phase, index: Int, startNs: UInt64, durationNs: UInt64)
    case output(file: String, bytes: Int, sha256: String, shape: [Int])
    case memory(peakBytes: UInt64?)
    case error(code: String, message: String)
    case end(warmup: Int, runs: Int, clips: Int, lines: Int, linesSha256: String)

    /// The line, without its line feed: keys in order of the alphabet, so that the same event is the same bytes.
    public func line() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension Event: Encodable {
    private enum Keys: String, CodingKey {
        case event, `protocol`, runner, runtime, version, abi, features, cores
        case loadNs = "load_ns"
        case threads, delegate, input, output
        case phase, index
        case startNs = "start_ns"
        case durationNs = "duration_ns"
        case file, bytes, sha256, shape, dtype
        case peakBytes = "peak_bytes"
        case code, message
        case warmup, runs, clips, lines
        case linesSha256 = "lines_sha256"
    }

    private struct Tensor: Encodable {
        let shape: [Int]
        let dtype = "float32"

        enum CodingKeys: String, CodingKey {
            case shape, dtype
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var line = encoder.container(keyedBy: Keys.self)
        switch self {
        case .device(let runner, let runtime, let version, let abi, let cores):
            try line.encode("device", forKey: .event)
            try line.encode(Self.protocolVersion, forKey: .protocol)
            try line.encode(runner, forKey: .runner)
            try line.encode(runtime, forKey: .runtime)
            try line.encode(version, forKey: .version)
            try line.encode(abi, forKey: .abi)
            try line.encode([String](), forKey: .features)
            try line.encode(cores, forKey: .cores)
        case .load(let loadNs, let delegate, let input, let output):
            try line.encode("load", forKey: .event)
            try line.encode(loadNs, forKey: .loadNs)
            try line.encodeNil(forKey: .threads)
            try line.encode(delegate, forKey: .delegate)
            try line.encode(Tensor(shape: input), forKey: .input)
            try line.encode(Tensor(shape: output), forKey: .output)
        case .run(let phase, let index, let startNs, let durationNs):
            try line.encode("run", forKey: .event)
            try line.encode(phase, forKey: .phase)
            try line.encode(index, forKey: .index)
            try line.encode(startNs, forKey: .startNs)
            try line.encode(durationNs, forKey: .durationNs)
        case .output(let file, let bytes, let sha256, let shape):
            try line.encode("output", forKey: .event)
            try line.encode(file, forKey: .file)
            try line.encode(bytes, forKey: .bytes)
            try line.encode(sha256, forKey: .sha256)
            try line.encode(shape, forKey: .shape)
            try line.encode("float32", forKey: .dtype)
        case .memory(let peakBytes):
            try line.encode("memory", forKey: .event)
            try line.encode(peakBytes, forKey: .peakBytes)
        case .error(let code, let message):
            try line.encode("error", forKey: .event)
            try line.encode(code, forKey: .code)
            try line.encode(message, forKey: .message)
        case .end(let warmup, let runs, let clips, let lines, let linesSha256):
            try line.encode("end", forKey: .event)
            try line.encode(warmup, forKey: .warmup)
            try line.encode(runs, forKey: .runs)
            try line.encode(clips, forKey: .clips)
            try line.encode(lines, forKey: .lines)
            try line.encode(linesSha256, forKey: .linesSha256)
        }
    }
}
