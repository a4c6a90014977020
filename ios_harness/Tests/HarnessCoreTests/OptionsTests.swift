import Foundation
import XCTest

@testable import HarnessCore

final class OptionsTests: XCTestCase {
    private func shared() throws -> Data {
        try Data(contentsOf: formats.appendingPathComponent("ios_options.json"))
    }

    /// The shared options with one thing changed.
    private func changed(_ change: (inout [String: Any], inout [String: Any]) -> Void) throws -> Data {
        var document = try XCTUnwrap(JSONSerialization.jsonObject(with: shared()) as? [String: Any])
        var work = try XCTUnwrap(document["work"] as? [String: Any])
        change(&document, &work)
        if document["work"] != nil { document["work"] = work }
        return try JSONSerialization.data(withJSONObject: document)
    }

    func testWhatPythonWritesIsRead() throws {
        let options = try Options.read(shared())
        XCTAssertEqual(options.mode, .time)
        let work = try XCTUnwrap(options.work)
        XCTAssertEqual(work.computeUnits, .cpuAndNeuralEngine)
        XCTAssertEqual(work.model.files.map(\.path), ["Manifest.json", "Data/com.apple.CoreML/weights/weight.bin"])
        XCTAssertEqual(work.clipValues, 12)
        XCTAssertTrue(work.plan)
        XCTAssertEqual([work.warmup, work.runs, work.clips, work.classes], [2, 3, 2, 3])
    }

    func testWhatIsWrittenIsReadAgain() throws {
        let options = try Options.read(shared())
        XCTAssertEqual(try Options.read(JSONEncoder().encode(options)), options)
        XCTAssertEqual(try Options.read(JSONEncoder().encode(Options(mode: .about))), Options(mode: .about))
    }

    func testWhatCantBeMeantIsRefused() throws {
        let wrong: [(String, (inout [String: Any], inout [String: Any]) -> Void)] = [
            ("a key too many", { document, _ in document["threads"] = 4 }),
            ("a key of the work too many", { _, work in work["cores"] = [1] }),
            ("another version", { document, _ in document["dvfl_mobile_options"] = 2 }),
            ("an unknown mode", { document, _ in document["mode"] = "race" }),
            ("no work", { document, _ in document["work"] = nil }),
            ("work where none goes", { document, _ in document["mode"] = "about" }),
            ("a missing key", { _, work in work["runs"] = nil }),
            ("text for a number", { _, work in work["runs"] = "3" }),
            ("a fraction", { _, work in work["runs"] = 2.5 }),
            ("no runs", { _, work in work["runs"] = 0 }),
            ("fewer than no runs", { _, work in work["warmup"] = -1 }),
            ("runs without end", { _, work in work["runs"] = 1 << 40 }),
            ("runs of clips", { document, _ in document["mode"] = "run" }),
            ("a shape beyond all bounds", { _, work in work["shape"] = [1 << 40, 1 << 40] }),
            ("an empty shape", { _, work in work["shape"] = [Int]() }),
            ("a shape of nothing", { _, work in work["shape"] = [1, 0] }),
            ("unknown units", { _, work in work["compute_units"] = "gpuOnly" }),
            ("a name that leaves the folder", { _, work in work["input"] = pushed(name: "../input") }),
            ("a name with a line feed", { _, work in work["input"] = pushed(name: "in\nput") }),
            ("no hash", { _, work in work["input"] = pushed(name: "input", sha256: "ABC") }),
            ("a path that leaves the package", { _, work in work["model"] = package(["a/../../b"]) }),
            ("a path from the root", { _, work in work["model"] = package(["/a"]) }),
            ("a file twice", { _, work in work["model"] = package(["a", "a"]) }),
            ("no files", { _, work in work["model"] = package([]) }),
        ]
        for (what, change) in wrong {
            XCTAssertThrowsError(try Options.read(changed(change)), what) { error in
                XCTAssertEqual((error as? HarnessError)?.code, .options, what)
            }
        }
        for text in ["", "{", "[]", "null", "{}"] {
            assertGivesUp(.options) { _ = try Options.read(Data(text.utf8)) }
        }
    }
}

private func pushed(name: String, sha256: String = String(repeating: "a", count: 64)) -> [String: Any] {
    ["name": name, "bytes": 96, "sha256": sha256]
}

private func package(_ paths: [String]) -> [String: Any] {
    ["name": "model.mlpackage", "files": paths.map { ["path": $0, "file": pushed(name: "piece")] }]
}
