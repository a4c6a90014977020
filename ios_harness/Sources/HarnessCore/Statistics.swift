/// Figures of the times of runs.
public struct Statistics: Equatable, Sendable {
    public let p50: Double
    public let p90: Double
    public let p99: Double
    /// A 95 % interval of the median, from the order statistics: no distribution is assumed, but independent runs are.
    public let medianLow: Double
    public let medianHigh: Double

    /// - Parameter values: at least one.
    public init(of values: [Double]) {
        precondition(!values.isEmpty)
        let ordered = values.sorted()
        (p50, p90, p99) = (percentile(50, of: ordered), percentile(90, of: ordered), percentile(99, of: ordered))
        let count = Double(ordered.count), half = 0.98 * count.squareRoot()
        medianLow = ordered[max(0, Int((count / 2 - half).rounded(.down)))]
        medianHigh = ordered[min(ordered.count - 1, Int((count / 2 + half).rounded(.up)) - 1)]
    }
}

/// A percentile of ordered values, linear between the two nearest.
public func percentile(_ percent: Double, of ordered: [Double]) -> Double {
    let place = percent / 100 * Double(ordered.count - 1)
    let below = Int(place.rounded(.down))
    let above = min(below + 1, ordered.count - 1)
    return ordered[below] + (place - Double(below)) * (ordered[above] - ordered[below])
}
