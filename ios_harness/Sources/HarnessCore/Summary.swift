import Foundation

/// Figures of the timed runs that the events of one start tell of, in nanoseconds; nil where there are none.
public func timedStatistics(ofEvents data: Data) -> Statistics? {
    struct Line: Decodable {
        let event: String
        let phase: Event.Phase?
        let duration_ns: Double?
    }
    let lines = data.split(separator: UInt8(ascii: "\n")).compactMap { try? JSONDecoder().decode(Line.self, from: $0) }
    let durations = lines.filter { $0.event == "run" && $0.phase == .timed }.compactMap(\.duration_ns)
    return durations.isEmpty ? nil : Statistics(of: durations)
}

extension Statistics {
    /// A line for people, of figures in nanoseconds.
    public var text: String {
        func milliseconds(_ nanoseconds: Double) -> String { String(format: "%.3f", nanoseconds / 1e6) }
        return "p50 \(milliseconds(p50)) ms [\(milliseconds(medianLow)), \(milliseconds(medianHigh))], "
            + "p90 \(milliseconds(p90)) ms, p99 \(milliseconds(p99)) ms"
    }
}
