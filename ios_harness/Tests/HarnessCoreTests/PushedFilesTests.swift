import Foundation
import XCTest

@testable import HarnessCore

final class PushedFilesTests: FolderCase {
    private func sent(_ data: Data, _ name: String) throws -> Options.PushedFile {
        try write(data, name)
        return Options.PushedFile(name: name, bytes: UInt64(data.count), sha256: SHA256.hex(of: data))
    }

    func testAPackageIsPutTogether() throws {
        let package = Options.Package(
            name: "model.mlpackage",
            files: [
                .init(path: "Manifest.json", file: try sent(Data("{}".utf8), "one")),
                .init(path: "Data/weights/weight.bin", file: try sent(Data([1, 2, 3]), "two")),
            ])
        let root = try assemble(package, from: folder, in: folder.appendingPathComponent("place"))
        XCTAssertEqual(root.lastPathComponent, "model.mlpackage")
        XCTAssertEqual(try Data(contentsOf: root.appendingPathComponent("Data/weights/weight.bin")), Data([1, 2, 3]))
        XCTAssertEqual(try Data(contentsOf: root.appendingPathComponent("Manifest.json")), Data("{}".utf8))
    }

    func testAChangedFileIsRefused() throws {
        let file = try sent(Data(repeating: 7, count: 3_000_000), "input")
        XCTAssertNoThrow(try verify(file, in: folder))
        var data = try Data(contentsOf: folder.appendingPathComponent("input"))
        data[2_500_000] ^= 1
        try write(data, "input")
        assertGivesUp(.changed) { try verify(file, in: folder) }
        try write(data.dropLast(), "input")
        assertGivesUp(.changed) { try verify(file, in: folder) }
        try FileManager.default.removeItem(at: folder.appendingPathComponent("input"))
        assertGivesUp(.file) { try verify(file, in: folder) }
    }

    func testOnlyThisDriversFilesAndOldOnesAreRemoved() throws {
        for name in ["dvfl-a.input", "dvfl-a.1.events", "dvfl-b.input", "dvfl-c.input", "mine.txt"] {
            try write(Data(), name)
        }
        let now = Date()
        for name in ["dvfl-c.input", "mine.txt"] {
            try FileManager.default.setAttributes(
                [.modificationDate: now.addingTimeInterval(-90_000)],
                ofItemAtPath: folder.appendingPathComponent(name).path)
        }
        removePushed(prefix: "dvfl-a.", family: "dvfl-", in: folder, now: now)
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        XCTAssertEqual(left, ["dvfl-b.input", "mine.txt"])
    }

    func testTensorsAreLittleEndian() throws {
        XCTAssertEqual(Array(littleEndian([1, -2.5])), [0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0])
        XCTAssertEqual(try floats(fromLittleEndian: littleEndian([1, -2.5, .infinity])), [1, -2.5, .infinity])
        assertGivesUp(.changed) { _ = try floats(fromLittleEndian: Data([1, 2, 3])) }
        try write(littleEndian([0, 1, 2, 3, 4, 5]), "clips")
        let url = folder.appendingPathComponent("clips")
        XCTAssertEqual(try clip(1, of: 2, inFileAt: url), [2, 3])
        assertGivesUp(.changed) { _ = try clip(1, of: 4, inFileAt: url) }
    }
}
