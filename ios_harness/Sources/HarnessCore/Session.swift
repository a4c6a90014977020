import Foundation

/// The parts of a start that a system or a runtime brings.
public struct Runtime: Sendable {
    /// Its name, such as `Core ML`, and the version of the system that it comes with.
    public let name: String
    public let version: String
    public let abi: String
    /// Load the package at a URL.
    public let load: @Sendable (URL, Options.ComputeUnits) async throws -> any Model
    /// Where it means to run each operation; nil where the system can't tell.
    public let plan: @Sendable (URL, Options.ComputeUnits) async throws -> [About.Planned]?
    public let state: @Sendable () async -> About.State

    public init(
        name: String, version: String, abi: String,
        load: @escaping @Sendable (URL, Options.ComputeUnits) async throws -> any Model,
        plan: @escaping @Sendable (URL, Options.ComputeUnits) async throws -> [About.Planned]?,
        state: @escaping @Sendable () async -> About.State
    ) {
        (self.name, self.version, self.abi) = (name, version, abi)
        (self.load, self.plan, self.state) = (load, plan, state)
    }
}

/// One start: reads `STEM.options` in a folder, and writes `STEM.events`, `STEM.output` and `STEM.about` beside it.
public struct Session: Sendable {
    public static let runner = "ios_harness 1"
    /// Every file that a driver pushes starts with this.
    public static let family = "dvfl-"

    let folder: URL
    let stem: String
    let runtime: Runtime
    let cores: Int
    let peakBytes: @Sendable () -> UInt64?

    /// - Parameters:
    ///   - folder: where the pushed files are.
    ///   - stem: the name of the options without `.options`, such as `dvfl-0123456789abcdef.3`.
    public init(
        folder: URL, stem: String, runtime: Runtime,
        cores: Int = ProcessInfo.processInfo.activeProcessorCount,
        peakBytes: @escaping @Sendable () -> UInt64? = peakResidentBytes
    ) {
        (self.folder, self.stem, self.runtime) = (folder, stem, runtime)
        (self.cores, self.peakBytes) = (cores, peakBytes)
    }

    /// Do what the options say.
    ///
    /// - Parameter echo: also takes each line of the events.
    /// - Returns: whether all went well; if not, the last of the events says why.
    public func start(clock: some Clock, echo: @escaping (Data) -> Void = { _ in }) async -> Bool {
        let log: EventLog
        do {
            let file = try eventsFile()
            log = EventLog { line in
                try file.write(contentsOf: line)
                echo(line)
            }
        } catch {
            // Without a place for the events there is nothing that could be said, and no `end` says the rest.
            return false
        }
        do {
            try await carryOut(Options.read(try read("options")), clock: clock, log: log)
            return true
        } catch {
            let known = error as? HarnessError ?? HarnessError(.runtime, "\(error)")
            try? log.say(.error(code: known.code.rawValue, message: known.message))
            return false
        }
    }

    private func carryOut(_ options: Options, clock: some Clock, log: EventLog) async throws {
        let before = await runtime.state()
        if options.mode == .remove {
            removePushed(prefix: driver, family: Self.family, in: folder, now: Date())
            return
        }
        try log.say(
            .device(
                runner: Self.runner, runtime: runtime.name, version: runtime.version, abi: runtime.abi, cores: cores))
        guard let work = options.work else {
            try await write(about: before, compileNs: nil, plan: nil)
            try log.end(warmup: 0, runs: 0, clips: 0)
            return
        }
        try verify(work.input, in: folder)
        let steps = RunPlan(mode: options.mode, work: work)
        let (compileNs, plan) = try await withPackage(work) { package in
            let model = try await runtime.load(package, work.computeUnits)
            try run(steps, work, on: model, clock: clock, log: log)
            // After the runs: what it loads must not be in the memory that was measured.
            let plan = work.plan ? try await runtime.plan(package, work.computeUnits) : nil
            return (model.about.compileNs, plan)
        }
        // The end is said last of all, so that with it everything is there.
        try await write(about: before, compileNs: compileNs, plan: plan)
        try log.end(warmup: steps.warmup, runs: steps.runs, clips: work.clips)
    }

    private func run(
        _ steps: RunPlan, _ work: Options.Work, on model: any Model, clock: some Clock, log: EventLog
    ) throws {
        let about = model.about
        guard about.input == work.shape, about.output == [1, work.classes] else {
            throw HarnessError(
                .model,
                "The model takes \(about.input) and gives \(about.output); asked: \(work.shape), \(work.classes)."
            )
        }
        let values = work.clipValues
        guard work.input.bytes == UInt64(4 * values * work.clips) else {
            throw HarnessError(.options, "\(work.input.bytes) bytes aren't \(work.clips) clips of \(work.shape).")
        }
        try log.say(.load(loadNs: about.loadNs, delegate: about.delegate, input: about.input, output: about.output))
        let input = folder.appendingPathComponent(work.input.name)
        let logits = try steps.carryOut(on: model, clock: clock, log: log) { try clip($0, of: values, inFileAt: input) }
        let kept = steps.keepsAll ? work.clips : 1
        guard logits.count == kept * work.classes else {
            throw HarnessError(.runtime, "\(logits.count) logits came, and not \(kept) times \(work.classes).")
        }
        let data = littleEndian(logits)
        try write(data, to: "output")
        try log.say(
            .output(
                file: "\(stem).output", bytes: data.count, sha256: SHA256.hex(of: data), shape: [kept, work.classes]))
        try log.say(.memory(peakBytes: peakBytes()))
    }

    /// `dvfl-0123456789abcdef.` of `dvfl-0123456789abcdef.3`: what all files of this driver start with.
    private var driver: String {
        stem.split(separator: ".").first.map { "\($0)." } ?? stem
    }

    private func withPackage<Result>(
        _ work: Options.Work, _ body: (URL) async throws -> Result
    ) async throws -> Result {
        let place = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: place) }
        return try await body(assemble(work.model, from: folder, in: place))
    }

    private func write(about before: About.State, compileNs: UInt64?, plan: [About.Planned]?) async throws {
        let process = ProcessInfo.processInfo
        let about = About(
            system: runtime.version, memoryBytes: process.physicalMemory, cores: cores, before: before,
            after: await runtime.state(), compileNs: compileNs, plan: plan)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try write(try encoder.encode(about), to: "about")
    }

    private func eventsFile() throws -> FileHandle {
        try Options.checkName(stem)
        let url = place("events")
        try Data().write(to: url)
        return try FileHandle(forWritingTo: url)
    }

    private func read(_ suffix: String) throws -> Data {
        do {
            return try Data(contentsOf: place(suffix))
        } catch {
            throw HarnessError(.file, "\(stem).\(suffix) can't be read.")
        }
    }

    private func write(_ data: Data, to suffix: String) throws {
        do {
            try data.write(to: place(suffix), options: .atomic)
        } catch {
            throw HarnessError(.file, "\(stem).\(suffix) can't be written: \(error.localizedDescription)")
        }
    }

    private func place(_ suffix: String) -> URL {
        folder.appendingPathComponent("\(stem).\(suffix)")
    }
}
