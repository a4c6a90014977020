import Foundation
import XCTest

@testable import HarnessCore

/// The folder of files that both languages' tests hold themselves against.
let formats = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("tests/formats")

/// Hold `text` against a shared file, or write it there anew when `DVFL_WRITE_FORMATS` is set.
func assertShared(_ text: String, _ name: String, line: UInt = #line) throws {
    let url = formats.appendingPathComponent(name)
    if ProcessInfo.processInfo.environment["DVFL_WRITE_FORMATS"] != nil {
        try Data(text.utf8).write(to: url)
    }
    XCTAssertEqual(text, String(decoding: try Data(contentsOf: url), as: UTF8.self), line: line)
}

/// A clock that goes on by 1000 ns, then 2000, then 3000, … each time it is asked.
final class CountingClock: Clock, @unchecked Sendable {
    private var asked: UInt64 = 0
    private var now: UInt64 = 5_000_000_000

    func nanoseconds() -> UInt64 {
        asked += 1
        now += 1000 * asked
        return now
    }
}

/// Gives as its logits the sums of every third value of the clip.
final class SumModel: Model {
    let about: ModelFacts
    private var taken: [Float] = []
    private(set) var predictions = 0
    private let failsAt: Int?

    init(input: [Int], output: [Int], failsAt: Int? = nil) {
        about = ModelFacts(input: input, output: output, compileNs: 7_000_000, loadNs: 123_456, delegate: "cpuOnly")
        self.failsAt = failsAt
    }

    func take(_ clip: [Float]) throws { taken = clip }

    func predict() throws {
        if predictions == failsAt { throw HarnessError(.runtime, "It failed as it was asked to.") }
        predictions += 1
    }

    func logits() throws -> [Float] {
        (0..<about.output[1]).map { start in stride(from: start, to: taken.count, by: 3).reduce(0) { $0 + taken[$1] } }
    }
}

/// A folder of a test's own, gone with it.
class FolderCase: XCTestCase {
    private(set) var folder = URL(fileURLWithPath: "/")

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws {
        try FileManager.default.removeItem(at: folder)
    }

    func write(_ data: Data, _ name: String) throws {
        try data.write(to: folder.appendingPathComponent(name))
    }

    func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: folder.appendingPathComponent(name)), as: UTF8.self)
    }
}

func assertGivesUp(
    _ code: HarnessError.Code, line: UInt = #line, _ body: () throws -> Void
) {
    XCTAssertThrowsError(try body(), line: line) { error in
        XCTAssertEqual((error as? HarnessError)?.code, code, "\(error)", line: line)
    }
}
