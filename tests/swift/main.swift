// An app for the conformance test to run on Linux: frames come decoded from files, the rest is done by docs/video.md.
// Usage: ANSWERS is a folder with, for each video, NAME.txt (frame count, width, height, indices) and NAME.rgb; PACK
// the unpacked pack.

import Foundation
import XCTest

let environment = ProcessInfo.processInfo.environment
let answers = URL(fileURLWithPath: environment["ANSWERS"]!)
let packFolder = URL(fileURLWithPath: environment["PACK"]!)
let contents = try! JSONSerialization.jsonObject(
    with: Data(contentsOf: packFolder.appendingPathComponent("pack.json"))) as! [String: Any]
let clipSpec = contents["clip"] as! [String: Any]
let size = clipSpec["size"] as! Int
let shortSide = clipSpec["short_side"] as! Int

struct StandIn: PipelineUnderTest {
    func decode(_ video: URL) throws -> Decoded? {
        let name = video.deletingPathExtension().lastPathComponent
        let text = try String(contentsOf: answers.appendingPathComponent("\(name).txt"), encoding: .utf8)
        let facts = text.split(separator: " ").map { Int($0)! }
        let bytes = [UInt8](try Data(contentsOf: answers.appendingPathComponent("\(name).rgb")))
        let each = facts[1] * facts[2] * 3
        let frames = (0..<bytes.count / each).map {
            Picture(width: facts[1], height: facts[2], rgb: Array(bytes[$0 * each..<($0 + 1) * each]))
        }
        return Decoded(frameCount: facts[0], indices: Array(facts[3...]), frames: frames)
    }

    func pixels(_ frames: [Picture]) throws -> [UInt8]? {
        frames.flatMap(resize)
    }

    func tensor(_ pixels: [UInt8]) throws -> [Float]? {
        pixels.map(Float.init)
    }

    /// The logits of the pack's own clip that is nearest.
    func logits(_ tensor: [Float]) throws -> [Float]? {
        var best: (Float, [Float]) = (.infinity, [])
        for video in contents["videos"] as! [[String: Any]] {
            guard let path = video["clip"] as? String else { continue }
            let clip = [UInt8](try Data(contentsOf: packFolder.appendingPathComponent(path)))
            var apart: Float = 0
            for i in 0..<clip.count { apart += abs(Float(clip[i]) - tensor[i]) }
            if apart < best.0 { best = (apart, (video["reference_logits"] as! [Double]).map(Float.init)) }
        }
        return best.1
    }

    private func resize(_ picture: Picture) -> [UInt8] {
        let scale = Double(shortSide) / Double(min(picture.width, picture.height))
        let width = Int(Double(picture.width) * scale + 0.5)
        let height = Int(Double(picture.height) * scale + 0.5)
        let left = down(width - size, 2)
        let top = down(height - size, 2)
        var pixels = [UInt8]()
        pixels.reserveCapacity(3 * size * size)
        for c in 0..<3 {
            for y in 0..<size {
                let (upper, lower, d) = between(top + y, picture.height, height)
                for x in 0..<size {
                    let (one, other, b) = between(left + x, picture.width, width)
                    func across(_ row: Int) -> Int {
                        let at = row * picture.width
                        return Int(picture.rgb[(at + one) * 3 + c]) * (2048 - b) + Int(picture.rgb[(at + other) * 3 + c]) * b
                    }
                    let above = ((across(upper) >> 4) * (2048 - d)) >> 16
                    let below = ((across(lower) >> 4) * d) >> 16
                    pixels.append(UInt8((above + below + 2) >> 2))
                }
            }
        }
        return pixels
    }

    private func between(_ x: Int, _ length: Int, _ resized: Int) -> (Int, Int, Int) {
        let n = (2 * x + 1) * length - resized
        let low = down(n, 2 * resized)
        let weight = ((n - low * 2 * resized) * 2048 + resized) / (2 * resized)
        return (max(low, 0), min(low + 1, length - 1), weight)
    }

    /// Division that rounds down, as Python's.
    private func down(_ a: Int, _ b: Int) -> Int {
        a >= 0 ? a / b : -((b - 1 - a) / b)
    }
}

final class StandInTest: ConformanceTest {
    override var pipeline: PipelineUnderTest? { StandIn() }
    override var pack: URL { packFolder }
    override var results: URL { answers.appendingPathComponent("pack-results.json") }
    override var app: String { "main.swift" }
}

XCTMain([testCase([("testWritePackResults", { (test: StandInTest) in { try test.testWritePackResults() } })])])
