import Foundation

/// How far two sets of logits lie apart, in double precision, as the driver's own metrics have it: of what their softmax
/// can tell. No constant added to a clip's logits and no mask over a class changes a figure.
///
/// Compared are the classes that some clip has among its five greatest, in either set, less than `faint` below its
/// greatest: each clip's values less their mean, and none further than `faint` below the clip's greatest.
public struct Distance: Equatable, Sendable {
    /// How far below its clip's greatest a logit says nothing: its probability is under 2^-23, float32's step at 1.
    public static let faint = 23 * log(2.0)

    /// `10 log10(Σ ref² / Σ (ref - cand)²)`; infinite where they are identical, and no number where one class has all
    /// the probability on all clips.
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
        let sets = [reference, candidate].map { logits in
            stride(from: 0, to: logits.count, by: classes).map { bounded(logits[$0..<$0 + classes].map(Double.init)) }
        }
        let seen = sets.joined().map(amongTop).reduce(into: Set<Int>()) { $0.formUnion($1) }.sorted()
        var signal = 0.0, noise = 0.0, most = 0.0
        for (first, second) in zip(sets[0], sets[1]) {
            for (right, found) in zip(centred(seen.map { first[$0] }), centred(seen.map { second[$0] })) {
                signal += right * right
                noise += (right - found) * (right - found)
                most = max(most, abs(right - found))
            }
        }
        let ratio = noise == 0 ? .infinity : signal == 0 ? -.infinity : 10 * log10(signal / noise)
        sqnrDb = seen.count < 2 ? .nan : ratio
        mostAbsolute = most
        sameTop = zip(sets[0], sets[1]).count { ranked($0)[0] == ranked($1)[0] }
    }
}

/// None further than `faint` below the greatest.
private func bounded(_ logits: [Double]) -> [Double] {
    let least = logits.max()! - Distance.faint
    return logits.map { max($0, least) }
}

/// The classes of the greatest logits; of equal ones the lower class first.
private func ranked(_ logits: [Double]) -> [Int] {
    Array(logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }.prefix(5))
}

/// Those of them that have a probability to speak of.
private func amongTop(_ logits: [Double]) -> [Int] {
    let top = ranked(logits)
    return top.filter { $0 == top[0] || logits[$0] > logits[top[0]] - Distance.faint }
}

private func centred(_ values: [Double]) -> [Double] {
    let mean = values.reduce(0, +) / Double(values.count)
    return values.map { $0 - mean }
}
