import Foundation
import XCTest

@testable import HarnessCore

/// Whole starts, on a model of their own: what they write is what the driver's tests read.
final class SessionTests: FolderCase {
    private let stem = "dvfl-0123456789abcdef.1"
    private let input = littleEndian((0..<24).map { Float($0) / 4 })

    override func setUpWithError() throws {
        try super.setUpWithError()
        try write(Data("test".utf8), "dvfl-0123456789abcdef.model.0")
        try write(Data("abc".utf8), "dvfl-0123456789abcdef.model.1")
        try write(input, "dvfl-0123456789abcdef.input")
    }

    private func runtime(output: [Int] = [1, 3], failsAt: Int? = nil) -> Runtime {
        Runtime(
            name: "Core ML", version: "iOS 18.2.0", abi: "arm64",
            load: { package, _ in
                guard FileManager.default.fileExists(atPath: package.appendingPathComponent("Manifest.json").path)
                else { throw HarnessError(.model, "There is no package.") }
                return SumModel(input: [1, 2, 3, 1, 2], output: output, failsAt: failsAt)
            },
            plan: { _, _ in
                [
                    .init(kind: "const", output: "weight", preferred: nil, supported: [], cost: nil),
                    .init(
                        kind: "ios16.linear", output: "logits", preferred: "neuralEngine",
                        supported: ["cpu", "neuralEngine"], cost: 1),
                ]
            },
            state: { .init(thermalState: "nominal", isLowPower: false, batteryPercent: 80, isCharging: nil) }
        )
    }

    private func start(_ options: Data, _ runtime: Runtime) async throws -> Bool {
        try write(options, "\(stem).options")
        let session = Session(
            folder: folder, stem: stem, runtime: runtime, cores: 6, peakBytes: { 50_331_648 })
        return await session.start(clock: CountingClock())
    }

    private func shared(_ change: ([String: Any]) -> [String: Any] = { $0 }) throws -> Data {
        let data = try Data(contentsOf: formats.appendingPathComponent("ios_options.json"))
        let document = try XCTUnwrap(JSONSerialization.jsonObject(with: data) as? [String: Any])
        return try JSONSerialization.data(withJSONObject: change(document))
    }

    private func runOptions() throws -> Data {
        try shared { document in
            var document = document, work = document["work"] as? [String: Any] ?? [:]
            (work["warmup"], work["runs"], work["plan"], document["mode"]) = (0, 0, false, "run")
            document["work"] = work
            return document
        }
    }

    func testTimedRunsAreSaidAsTheDriverExpects() async throws {
        let isWell = try await start(shared(), runtime())
        XCTAssertTrue(isWell)
        try assertShared(text("\(stem).events"), "ios_time.events")
        let logits = try floats(fromLittleEndian: Data(contentsOf: folder.appendingPathComponent("\(stem).output")))
        XCTAssertEqual(logits, [4.5, 5.5, 6.5])
        let about = try JSONDecoder().decode(
            About.self, from: Data(contentsOf: folder.appendingPathComponent("\(stem).about")))
        XCTAssertEqual(about.plan?.map(\.preferred), [nil, "neuralEngine"])
        XCTAssertEqual(about.compileNs, 7_000_000)
        XCTAssertEqual(about.before.batteryPercent, 80)
        XCTAssertEqual(about.cores, 6)
    }

    func testTimedRunsAreSummedUp() async throws {
        let isWell = try await start(shared(), runtime())
        XCTAssertTrue(isWell)
        let events = try Data(contentsOf: folder.appendingPathComponent("\(stem).events"))
        // 6, 8 and 10 µs, by the counting clock: the warm-up's 2 and 4 don't count.
        XCTAssertEqual(
            timedStatistics(ofEvents: events)?.text, "p50 0.008 ms [0.006, 0.010], p90 0.010 ms, p99 0.010 ms")
        XCTAssertNil(timedStatistics(ofEvents: Data("{}\nnonsense\n".utf8)))
    }

    func testAStemThatLeavesTheFolderIsRefused() async throws {
        for stem in ["../a", "", ".", "a/b", "a\nb"] {
            let session = Session(folder: folder, stem: stem, runtime: runtime())
            let isWell = await session.start(clock: CountingClock())
            XCTAssertFalse(isWell, stem)
        }
    }

    func testEveryClipIsRunOnce() async throws {
        let isWell = try await start(runOptions(), runtime())
        XCTAssertTrue(isWell)
        try assertShared(text("\(stem).events"), "ios_run.events")
        let logits = try floats(fromLittleEndian: Data(contentsOf: folder.appendingPathComponent("\(stem).output")))
        XCTAssertEqual(logits, [4.5, 5.5, 6.5, 16.5, 17.5, 18.5])
    }

    func testAFailureIsTheLastLine() async throws {
        let isWell = try await start(shared(), runtime(failsAt: 3))
        XCTAssertFalse(isWell)
        try assertShared(text("\(stem).events"), "ios_failed.events")
        XCTAssertFalse(FileManager.default.fileExists(atPath: folder.appendingPathComponent("\(stem).output").path))
    }

    func testWhatIsWrongHasItsCode() async throws {
        try write(Data("tost".utf8), "dvfl-0123456789abcdef.model.0")
        try await assertFails("changed", shared(), runtime())
        try write(Data("test".utf8), "dvfl-0123456789abcdef.model.0")
        try await assertFails("model", shared(), runtime(output: [1, 4]))
        try await assertFails("options", Data("{".utf8), runtime())
        try write(input.dropLast(4), "dvfl-0123456789abcdef.input")
        try await assertFails("changed", shared(), runtime())
        try FileManager.default.removeItem(at: folder.appendingPathComponent("dvfl-0123456789abcdef.input"))
        try await assertFails("file", shared(), runtime())
    }

    private func assertFails(_ code: String, _ options: Data, _ runtime: Runtime, line: UInt = #line) async throws {
        let isWell = try await start(options, runtime)
        XCTAssertFalse(isWell, line: line)
        let last = try XCTUnwrap(text("\(stem).events").split(separator: "\n").last)
        XCTAssertTrue(last.contains("\"code\":\"\(code)\""), String(last), line: line)
    }

    func testAboutNeedsNoModel() async throws {
        let isWell = try await start(JSONEncoder().encode(Options(mode: .about)), runtime())
        XCTAssertTrue(isWell)
        try assertShared(text("\(stem).events"), "ios_about.events")
        let about = try JSONDecoder().decode(
            About.self, from: Data(contentsOf: folder.appendingPathComponent("\(stem).about")))
        XCTAssertNil(about.plan)
    }

    func testRemoveLeavesNothing() async throws {
        let isWell = try await start(JSONEncoder().encode(Options(mode: .remove)), runtime())
        XCTAssertTrue(isWell)
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: folder.path), [])
    }

    func testTheClockGoesForwardAndMemoryIsReported() throws {
        let clock = MonotonicClock()
        let first = clock.nanoseconds()
        Thread.sleep(forTimeInterval: 0.02)
        let passed = clock.nanoseconds() - first
        // It slept for 20 ms at least; a second more would be a clock of another unit, or a machine that stood still.
        XCTAssertTrue((20_000_000..<1_020_000_000).contains(passed), "\(passed)")
        // A Swift process with Foundation has more than 1 MiB resident, and less than 64 GiB.
        XCTAssertTrue(((1 << 20)..<(1 << 36)).contains(try XCTUnwrap(peakResidentBytes())))
    }
}
