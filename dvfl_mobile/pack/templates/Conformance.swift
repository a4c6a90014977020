// From a conformance pack of dvfl-mobile. Copy it into your tests as it is; README.md in the pack says how.
// Needs XCTest, Foundation and CryptoKit, and nothing else.

import CryptoKit
import Foundation
import XCTest

/// A picture, upright: row after row, one byte each for R, G and B of every pixel.
public struct Picture {
    public let width: Int
    public let height: Int
    public let rgb: [UInt8]

    public init(width: Int, height: Int, rgb: [UInt8]) {
        self.width = width
        self.height = height
        self.rgb = rgb
    }
}

/// What your decoder makes of a video.
public struct Decoded {
    /// How many frames it gives in all.
    public let frameCount: Int
    /// The frames that make up the clip, counted from 0 in the order shown.
    public let indices: [Int]
    /// These frames, in that order.
    public let frames: [Picture]

    public init(frameCount: Int, indices: [Int], frames: [Picture]) {
        self.frameCount = frameCount
        self.indices = indices
        self.frames = frames
    }
}

/// Your app's own code, from a video to logits. What can't be had by itself is nil, and stays unjudged.
public protocol PipelineUnderTest {
    func decode(_ video: URL) throws -> Decoded?

    /// Scaled and cropped: one byte a value, in the order frame, channel (R, G, B), row, column.
    func pixels(_ frames: [Picture]) throws -> [UInt8]?

    /// The numbers that the model's input is filled with, in the order in which they lie there.
    func tensor(_ pixels: [UInt8]) throws -> [Float]?

    /// What the model answers, before any softmax.
    func logits(_ tensor: [Float]) throws -> [Float]?
}

/// Runs your pipeline over the pack and writes what it made of it. `dvfl-mobile parity` judges that.
/// Inherit from it and override `pipeline`, `pack` and `results`.
open class ConformanceTest: XCTestCase {
    /// Nil here, where XCTest finds this class by itself.
    open var pipeline: PipelineUnderTest? { nil }

    /// The unpacked pack: the folder that holds pack.json.
    open var pack: URL { URL(fileURLWithPath: "pack") }

    /// Where to write pack-results.json.
    open var results: URL { URL(fileURLWithPath: "pack-results.json") }

    /// The model file that the app runs; nil where it isn't a single file.
    open var model: URL? { nil }
    open var app: String { "an app" }
    open var device: String { ProcessInfo.processInfo.operatingSystemVersionString }

    open func testWritePackResults() throws {
        guard let pipeline = pipeline else {
            throw XCTSkip("Inherit from ConformanceTest and override pipeline.")
        }
        let head = try Data(contentsOf: pack.appendingPathComponent("pack.json"))
        let contents = try XCTUnwrap(JSONSerialization.jsonObject(with: head) as? [String: Any])
        let clip = try XCTUnwrap(contents["clip"] as? [String: Any])
        let frames = try XCTUnwrap(clip["frames"] as? Int)
        let measure = Measure(
            stride: try XCTUnwrap(contents["stride"] as? Int),
            grid: try XCTUnwrap(contents["grid"] as? Int)
        )
        let pictures = try XCTUnwrap(contents["pictures"] as? [[String: Any]])
        let videos = try XCTUnwrap(contents["videos"] as? [[String: Any]])
        let modelHash = try model.map { measure.sha256([UInt8](try Data(contentsOf: $0))) }
        let document: [String: Any] = [
            "schema_version": 1,
            "pack_sha256": measure.sha256([UInt8](head)),
            "app": app,
            "device": device,
            "model_sha256": orNull(modelHash),
            "pictures": try pictures.map { try self.picture($0, frames, pipeline, measure) },
            "clips": try videos.compactMap { try self.clip($0, pipeline, measure) },
            "videos": try videos.map { try self.video($0, pipeline, measure) },
        ]
        try JSONSerialization.data(withJSONObject: document).write(to: results)
    }

    private func picture(
        _ entry: [String: Any], _ frames: Int, _ pipeline: PipelineUnderTest, _ measure: Measure
    ) throws -> [String: Any] {
        let width = try XCTUnwrap(entry["width"] as? Int)
        let height = try XCTUnwrap(entry["height"] as? Int)
        let pictures = (0..<frames).map { drawn($0, width, height) }
        return [
            "name": try XCTUnwrap(entry["name"] as? String),
            "pixels": orNull(try pipeline.pixels(pictures).map(measure.bytes)),
        ]
    }

    /// Picture t of those whose channel c in column x and row y is (3x + 5y + 7c + 11t + xy) mod 256.
    private func drawn(_ t: Int, _ width: Int, _ height: Int) -> Picture {
        var rgb = [UInt8]()
        rgb.reserveCapacity(width * height * 3)
        for y in 0..<height {
            for x in 0..<width {
                for c in 0..<3 {
                    let value: Int = 3 * x + 5 * y + 7 * c + 11 * t + x * y
                    rgb.append(UInt8(value & 255))
                }
            }
        }
        return Picture(width: width, height: height, rgb: rgb)
    }

    private func clip(
        _ entry: [String: Any], _ pipeline: PipelineUnderTest, _ measure: Measure
    ) throws -> [String: Any]? {
        guard let path = entry["clip"] as? String else { return nil }
        let pixels = [UInt8](try Data(contentsOf: pack.appendingPathComponent(path)))
        let tensor = try pipeline.tensor(pixels)
        let logits = try tensor.flatMap { try pipeline.logits($0) }
        return [
            "name": try XCTUnwrap(entry["name"] as? String),
            "tensor": orNull(tensor.map(measure.floats)),
            "logits": orNull(logits.map { measure.hex(measure.littleEndian($0)) }),
        ]
    }

    private func video(
        _ entry: [String: Any], _ pipeline: PipelineUnderTest, _ measure: Measure
    ) throws -> [String: Any] {
        let file = try XCTUnwrap(entry["file"] as? String)
        let decoded = try pipeline.decode(pack.appendingPathComponent(file))
        let pixels = try decoded.flatMap { try pipeline.pixels($0.frames) }
        let tensor = try pixels.flatMap { try pipeline.tensor($0) }
        let logits = try tensor.flatMap { try pipeline.logits($0) }
        return [
            "name": try XCTUnwrap(entry["name"] as? String),
            "frame_count": orNull(decoded?.frameCount),
            "indices": orNull(decoded?.indices),
            "frames": orNull(decoded?.frames.map(measure.frame)),
            "pixels": orNull(pixels.map(measure.bytes)),
            "tensor": orNull(tensor.map(measure.floats)),
            "logits": orNull(logits.map { measure.hex(measure.littleEndian($0)) }),
        ]
    }

    private func orNull(_ value: Any?) -> Any {
        value ?? NSNull()
    }
}

/// What of an array goes into the results.
private struct Measure {
    let stride: Int
    let grid: Int

    func bytes(_ values: [UInt8]) -> [String: Any] {
        let samples = Swift.stride(from: 0, to: values.count, by: stride).map { values[$0] }
        return summary(values.count, sha256(values), hex(samples))
    }

    func floats(_ values: [Float]) -> [String: Any] {
        let samples = Swift.stride(from: 0, to: values.count, by: stride).map { values[$0] }
        return summary(values.count, sha256(littleEndian(values)), hex(littleEndian(samples)))
    }

    func frame(_ picture: Picture) -> [String: Any] {
        [
            "width": picture.width,
            "height": picture.height,
            "sha256": sha256(picture.rgb),
            "thumbnail": hex(thumbnail(picture)),
        ]
    }

    /// The rounded means of grid x grid blocks.
    private func thumbnail(_ picture: Picture) -> [UInt8] {
        var thumbnail = [UInt8](repeating: 0, count: grid * grid * 3)
        for row in 0..<grid {
            let top = row * picture.height / grid
            let bottom = (row + 1) * picture.height / grid
            for column in 0..<grid {
                let left = column * picture.width / grid
                let right = (column + 1) * picture.width / grid
                let count = (bottom - top) * (right - left)
                for channel in 0..<3 {
                    var sum = 0
                    for y in top..<bottom {
                        for x in left..<right {
                            sum += Int(picture.rgb[(y * picture.width + x) * 3 + channel])
                        }
                    }
                    let mean = (2 * sum + count) / (2 * count)
                    thumbnail[(row * grid + column) * 3 + channel] = UInt8(mean)
                }
            }
        }
        return thumbnail
    }

    func littleEndian(_ values: [Float]) -> [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(4 * values.count)
        for value in values {
            let bits = value.bitPattern
            for shift in [0, 8, 16, 24] as [UInt32] {
                bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
            }
        }
        return bytes
    }

    func sha256(_ bytes: [UInt8]) -> String {
        hex([UInt8](SHA256.hash(data: Data(bytes))))
    }

    func hex(_ bytes: [UInt8]) -> String {
        let digits = [UInt8]("0123456789abcdef".utf8)
        var text = [UInt8]()
        text.reserveCapacity(2 * bytes.count)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    private func summary(_ count: Int, _ sha256: String, _ samples: String) -> [String: Any] {
        ["count": count, "sha256": sha256, "samples": samples]
    }
}
