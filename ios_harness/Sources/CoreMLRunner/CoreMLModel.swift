#if canImport(CoreML)
    import CoreML
    import Foundation
    import HarnessCore

    /// A Core ML model of one float32 input and one float32 output.
    public final class CoreMLModel: Model {
        public let about: ModelFacts
        private let model: MLModel
        /// Kept as long as the model, which may still read it.
        private let compiled: Compiled
        private let input: String
        private let output: String
        private var given: (any MLFeatureProvider)?
        private var answer: (any MLFeatureProvider)?

        /// Compile the package and load it.
        ///
        /// - Parameters:
        ///   - package: an `.mlpackage`, or an `.mlmodelc` that is compiled already.
        ///   - units: what Core ML may choose from.
        public static func load(
            _ package: URL, units: Options.ComputeUnits, clock: some Clock = MonotonicClock()
        ) async throws -> CoreMLModel {
            let compiled = try await Compiled(package, clock: clock)
            let start = clock.nanoseconds()
            let model: MLModel
            do {
                model = try await MLModel.load(contentsOf: compiled.url, configuration: configuration(units))
            } catch {
                throw HarnessError(.model, "Core ML can't load the model: \(error.localizedDescription)")
            }
            let loadNs = clock.nanoseconds() - start
            return try CoreMLModel(model, compiled, loadNs: loadNs, units: units)
        }

        private init(_ model: MLModel, _ compiled: Compiled, loadNs: UInt64, units: Options.ComputeUnits) throws {
            (self.model, self.compiled) = (model, compiled)
            let taken = try Self.only(model.modelDescription.inputDescriptionsByName, "input")
            let gives = try Self.only(model.modelDescription.outputDescriptionsByName, "output")
            (input, output) = (taken.name, gives.name)
            about = ModelFacts(
                input: taken.shape, output: gives.shape, compileNs: compiled.nanoseconds, loadNs: loadNs,
                delegate: units.rawValue)
        }

        public func take(_ clip: [Float]) throws {
            let value = MLFeatureValue(shapedArray: MLShapedArray<Float>(scalars: clip, shape: about.input))
            given = try MLDictionaryFeatureProvider(dictionary: [input: value])
        }

        public func predict() throws {
            guard let given else { throw HarnessError(.runtime, "No clip was taken before the run.") }
            answer = try model.prediction(from: given)
        }

        public func logits() throws -> [Float] {
            guard let values = answer?.featureValue(for: output)?.shapedArrayValue(of: Float.self) else {
                throw HarnessError(.runtime, "The model gave no float32 values as \(output).")
            }
            return values.scalars
        }

        private static func only(
            _ features: [String: MLFeatureDescription], _ what: String
        ) throws -> (name: String, shape: [Int]) {
            guard features.count == 1, let (name, feature) = features.first,
                let constraint = feature.multiArrayConstraint, constraint.dataType == .float32
            else {
                throw HarnessError(.model, "The model doesn't have one float32 \(what), but \(features.keys.sorted()).")
            }
            return (name, constraint.shape.map(\.intValue))
        }
    }

    func configuration(_ units: Options.ComputeUnits) -> MLModelConfiguration {
        let configuration = MLModelConfiguration()
        configuration.computeUnits =
            switch units {
            case .all: .all
            case .cpuOnly: .cpuOnly
            case .cpuAndGPU: .cpuAndGPU
            case .cpuAndNeuralEngine: .cpuAndNeuralEngine
            }
        return configuration
    }
#endif
