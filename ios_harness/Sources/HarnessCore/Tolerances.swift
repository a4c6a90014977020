import Foundation

/// How far two sets of logits lie apart, in double precision, as the driver's own metrics have it.
public struct Distance: Equatable, Sendable {
    /// `10 log10(Σ ref² / Σ (ref - cand)²)`; infinite where they are identical.
    public let sqnrDb: Double
    public let mostAbsolute: Double
    /// Clips whose greatest logit is of the same class; of equal logits the lower class counts.
    public let sameTop: Int

    /// - Parameters:
    ///   - reference: the logits of every clip, one clip after the other; all finite.
    ///   - candidate: as many, and finite.
    ///   - classes: logits of one clip.
    public init(reference: [Float], candidate: [Float], classes: Int) {
        precondition(reference.count == candidate.count && reference.count % classes == 0)
        var signal = 0.0, noise = 0.0, most = 0.0
        for (first, second) in zip(reference, candidate) {
            let difference = Double(first) - Double(second)
            signal += Double(first) * Double(first)
            noise += difference * difference
            most = max(most, abs(difference))
        }
        sqnrDb = noise == 0 ? .infinity : signal == 0 ? -.infinity : 10 * log10(signal / noise)
        mostAbsolute = most
        sameTop = stride(from: 0, to: reference.count, by: classes).count { start in
            top(of: reference[start..<start + classes]) == top(of: candidate[start..<start + classes])
        }
    }
}

private func top(of logits: ArraySlice<Float>) -> Int {
    var best = logits.startIndex
    for index in logits.indices where logits[index] > logits[best] {
        best = index
    }
    return best - logits.startIndex
}
