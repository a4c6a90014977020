import Foundation
import XCTest

@testable import HarnessCore

/// The numbers that Python gives for the same values.
final class VectorTests: XCTestCase {
    private struct Vectors: Decodable {
        struct Hashed: Decodable {
            let length: Int
            let sha256: String
        }
        struct Figures: Decodable {
            let values: [Double]
            let p50, p90, p99, median_low, median_high: Double
        }
        struct Apart: Decodable {
            let reference, candidate: [Float]
            let classes, same_top: Int
            let sqnr_db: Decibels
            let most_absolute: Double
        }
        struct Decibels: Decodable {
            let value: Double
            init(from decoder: any Decoder) throws {
                let found = try decoder.singleValueContainer()
                if let text = try? found.decode(String.self) {
                    value = ["inf": Double.infinity, "-inf": -.infinity][text] ?? .nan
                } else {
                    value = try found.decode(Double.self)
                }
            }
        }
        let sha256: [Hashed]
        let statistics: [Figures]
        let distances: [Apart]
    }

    private func vectors() throws -> Vectors {
        try JSONDecoder().decode(
            Vectors.self, from: Data(contentsOf: formats.appendingPathComponent("harness_vectors.json")))
    }

    func testHashes() throws {
        for expected in try vectors().sha256 {
            let data = Data((0..<expected.length).map { UInt8(7 * $0 % 251) })
            XCTAssertEqual(SHA256.hex(of: data), expected.sha256, "\(expected.length) bytes")
            var hash = SHA256()
            for start in stride(from: 0, to: data.count, by: 37) {
                hash.update(data[start..<min(start + 37, data.count)])
            }
            XCTAssertEqual(hash.finish(), expected.sha256, "\(expected.length) bytes, piece by piece")
        }
    }

    func testStatistics() throws {
        for expected in try vectors().statistics {
            let found = Statistics(of: expected.values.shuffled())
            // Values are whole numbers of nanoseconds below 2^53, so that only the interpolation can round.
            let tolerance = 1e-15 * expected.p99
            XCTAssertEqual(found.p50, expected.p50, accuracy: tolerance)
            XCTAssertEqual(found.p90, expected.p90, accuracy: tolerance)
            XCTAssertEqual(found.p99, expected.p99, accuracy: tolerance)
            XCTAssertEqual(found.medianLow, expected.median_low)
            XCTAssertEqual(found.medianHigh, expected.median_high)
        }
    }

    func testDistances() throws {
        for expected in try vectors().distances {
            let found = Distance(reference: expected.reference, candidate: expected.candidate, classes: expected.classes)
            if expected.sqnr_db.value.isNaN {
                XCTAssertTrue(found.sqnrDb.isNaN)
            } else if expected.sqnr_db.value.isInfinite {
                XCTAssertEqual(found.sqnrDb, expected.sqnr_db.value)
            } else {
                // Means of doubles, added in another order, are off by some 1e-15, where errors are down to 1e-5.
                XCTAssertEqual(found.sqnrDb, expected.sqnr_db.value, accuracy: 1e-8)
            }
            // A mean of as many, in another order.
            XCTAssertEqual(found.mostAbsolute, expected.most_absolute, accuracy: 1e-13)
            XCTAssertEqual(found.sameTop, expected.same_top)
        }
    }
}
