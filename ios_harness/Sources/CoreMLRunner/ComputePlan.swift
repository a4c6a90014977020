#if canImport(CoreML)
    import CoreML
    import Foundation
    import HarnessCore

    /// Where Core ML means to run each operation of a package; nil before iOS 17.4 and macOS 14.4, which don't tell.
    public func computePlan(_ package: URL, units: Options.ComputeUnits) async throws -> [About.Planned]? {
        guard #available(iOS 17.4, macOS 14.4, *) else { return nil }
        let compiled = try await Compiled(package, clock: MonotonicClock())
        // Without this, Swift may let go of the folder before the plan is read from it.
        defer { withExtendedLifetime(compiled) {} }
        let plan = try await MLComputePlan.load(contentsOf: compiled.url, configuration: configuration(units))
        guard case .program(let program) = plan.modelStructure, let main = program.functions["main"] else {
            throw HarnessError(.model, "The model is no ML program with a function called main.")
        }
        return planned(main.block, by: plan)
    }

    @available(iOS 17.4, macOS 14.4, *)
    private func planned(_ block: MLModelStructure.Program.Block, by plan: MLComputePlan) -> [About.Planned] {
        block.operations.flatMap { operation in
            let usage = plan.deviceUsage(for: operation)
            let here = About.Planned(
                kind: operation.operatorName,
                output: operation.outputs.first?.name ?? "",
                preferred: usage.map { name(of: $0.preferred) },
                supported: usage?.supported.map(name(of:)) ?? [],
                cost: plan.estimatedCost(of: operation)?.weight
            )
            return [here] + operation.blocks.flatMap { planned($0, by: plan) }
        }
    }

    private func name(of device: MLComputeDevice) -> String {
        switch device {
        case .cpu: "cpu"
        case .gpu: "gpu"
        case .neuralEngine: "neuralEngine"
        @unknown default: "unknown"
        }
    }
#endif
