// A stand-in for as much of Core ML, and of what Foundation has on Apple's systems alone, as the harness uses; see the
// README beside it.
import Foundation

public enum MLComputeUnits: Int, Sendable {
    case cpuOnly = 0
    case cpuAndGPU = 1
    case all = 2
    case cpuAndNeuralEngine = 3
}

open class MLModelConfiguration: NSObject {
    open var computeUnits: MLComputeUnits = .all
}

public enum MLMultiArrayDataType: Int, Sendable {
    case double, float32, float16, int32
}

open class MLMultiArrayConstraint: NSObject {
    open var shape: [NSNumber] { fatalError() }
    open var dataType: MLMultiArrayDataType { fatalError() }
}

open class MLFeatureDescription: NSObject {
    open var name: String { fatalError() }
    open var multiArrayConstraint: MLMultiArrayConstraint? { fatalError() }
}

open class MLModelDescription: NSObject {
    open var inputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
    open var outputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
}

public protocol MLShapedArrayScalar {}

extension Float: MLShapedArrayScalar {}

public struct MLShapedArray<Scalar: MLShapedArrayScalar>: @unchecked Sendable {
    public init<S: Sequence>(scalars: S, shape: [Int]) where S.Element == Scalar { fatalError() }
    public var scalars: [Scalar] { fatalError() }
    public var shape: [Int] { fatalError() }
}

open class MLFeatureValue: NSObject {
    public convenience init<Scalar: MLShapedArrayScalar>(shapedArray: MLShapedArray<Scalar>) { fatalError() }
    public func shapedArrayValue<Scalar: MLShapedArrayScalar>(of type: Scalar.Type) -> MLShapedArray<Scalar>? {
        fatalError()
    }
}

public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    public init(dictionary: [String: Any]) throws { fatalError() }
    open var featureNames: Set<String> { fatalError() }
    open func featureValue(for featureName: String) -> MLFeatureValue? { fatalError() }
}

open class MLPredictionOptions: NSObject {}

open class MLModel: NSObject {
    open var modelDescription: MLModelDescription { fatalError() }
    public class func load(
        contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
    ) async throws -> MLModel { fatalError() }
    public class func compileModel(at url: URL) async throws -> URL { fatalError() }
    open func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { fatalError() }
    public func prediction(
        from input: any MLFeatureProvider, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> any MLFeatureProvider { fatalError() }
}

open class MLCPUComputeDevice: NSObject {}
open class MLGPUComputeDevice: NSObject {}
open class MLNeuralEngineComputeDevice: NSObject {}

public enum MLComputeDevice: @unchecked Sendable {
    case cpu(MLCPUComputeDevice)
    case gpu(MLGPUComputeDevice)
    case neuralEngine(MLNeuralEngineComputeDevice)
}

@available(macOS 14.4, iOS 17.4, *)
public enum MLModelStructure: Sendable {
    public struct Program: Sendable {
        public struct NamedValueType: Sendable {
            public let name: String
        }
        public struct Function: Sendable {
            public let block: Block
        }
        public struct Block: Sendable {
            public let operations: [Operation]
        }
        public struct Operation: Sendable {
            public let operatorName: String
            public let outputs: [NamedValueType]
            public let blocks: [Block]
        }
        public let functions: [String: Function]
    }
    public struct NeuralNetwork: Sendable {}
    public struct Pipeline: Sendable {}
    case neuralNetwork(NeuralNetwork)
    case program(Program)
    case pipeline(Pipeline)
    case unsupported
}

@available(macOS 14.4, iOS 17.4, *)
open class MLComputePlan: @unchecked Sendable {
    public struct DeviceUsage: Sendable {
        public let supported: [MLComputeDevice]
        public let preferred: MLComputeDevice
    }
    public struct Cost: Sendable {
        public let weight: Double
    }
    init() { fatalError() }
    public var modelStructure: MLModelStructure { fatalError() }
    public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> DeviceUsage? { fatalError() }
    public func estimatedCost(of operation: MLModelStructure.Program.Operation) -> Cost? { fatalError() }
    public static func load(contentsOf url: URL, configuration: MLModelConfiguration) async throws -> MLComputePlan {
        fatalError()
    }
}

extension ProcessInfo {
    public enum ThermalState: Int, Sendable {
        case nominal, fair, serious, critical
    }
    public var thermalState: ThermalState { fatalError() }
    public var isLowPowerModeEnabled: Bool { fatalError() }
}
