import CoreMLRunner
import HarnessCore
import XCTest

/// Times a model by Xcode's own metrics, beside the harness's.
///
/// Put `model.mlpackage` into this folder: Xcode compiles it into the tests.
final class HarnessPerformanceTests: XCTestCase {
    private func model(_ units: Options.ComputeUnits) async throws -> CoreMLModel {
        guard let url = Bundle(for: Self.self).url(forResource: "model", withExtension: "mlmodelc") else {
            throw XCTSkip("There is no model.mlpackage in the folder of these tests.")
        }
        return try await CoreMLModel.load(url, units: units)
    }

    /// Grey levels, 0 to 255, that repeat after 251 values: the same on every device.
    private func clip(_ shape: [Int]) -> [Float] {
        (0..<shape.reduce(1, *)).map { Float(7 * $0 % 251) }
    }

    func testPrediction() async throws {
        let model = try await model(.all)
        try model.take(clip(model.about.input))
        try model.predict()
        let options = XCTMeasureOptions()
        options.iterationCount = 30
        measure(metrics: [XCTClockMetric(), XCTMemoryMetric()], options: options) {
            do {
                try model.predict()
            } catch {
                XCTFail("\(error)")
            }
        }
    }

    func testAllUnitsComputeWhatTheCpuComputes() async throws {
        let reference = try await logits(.cpuOnly), candidate = try await logits(.all)
        let distance = Distance(reference: reference, candidate: candidate, classes: reference.count)
        // The Neural Engine computes in float16, and `dvfl-mobile parity` holds every float16 artifact to 45 dB.
        XCTAssertGreaterThanOrEqual(distance.sqnrDb, 45)
        XCTAssertEqual(distance.sameTop, 1)
    }

    private func logits(_ units: Options.ComputeUnits) async throws -> [Float] {
        let model = try await model(units)
        try model.take(clip(model.about.input))
        try model.predict()
        return try model.logits()
    }
}
