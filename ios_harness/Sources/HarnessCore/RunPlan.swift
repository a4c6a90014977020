/// The runs of one start, in order.
public struct RunPlan: Equatable, Sendable {
    public struct Step: Equatable, Sendable {
        public let phase: Event.Phase
        public let index: Int
        /// The clip to take before this run; nil: the same as before.
        public let clip: Int?
    }

    public let steps: [Step]
    public let warmup: Int
    public let runs: Int
    /// Whether the logits of every run are kept, or only the last's.
    public let keepsAll: Bool

    public init(mode: Options.Mode, work: Options.Work) {
        if mode == .run {
            steps = (0..<work.clips).map { Step(phase: .clip, index: $0, clip: $0) }
            (warmup, runs, keepsAll) = (0, work.clips, true)
        } else {
            let first = (0..<work.warmup).map { ($0, Event.Phase.warmup) } + (0..<work.runs).map { ($0, .timed) }
            steps = first.enumerated().map { place, step in
                Step(phase: step.1, index: step.0, clip: place == 0 ? 0 : nil)
            }
            (warmup, runs, keepsAll) = (work.warmup, work.runs, false)
        }
    }

    /// Run every step, and say each.
    ///
    /// - Parameter clip: gives the values of a clip.
    /// - Returns: the logits that are kept, one clip after the other.
    public func carryOut(
        on model: any Model, clock: some Clock, log: EventLog, clip: (Int) throws -> [Float]
    ) throws -> [Float] {
        var kept: [Float] = []
        for (place, step) in steps.enumerated() {
            if let index = step.clip {
                try model.take(clip(index))
            }
            let start = clock.nanoseconds()
            try model.predict()
            let end = clock.nanoseconds()
            if keepsAll || place == steps.count - 1 {
                kept += try model.logits()
            }
            try log.say(.run(phase: step.phase, index: step.index, startNs: start, durationNs: end - start))
        }
        return kept
    }
}
