#if canImport(CoreML)
    import CoreML
    import Foundation
    import HarnessCore

    /// Core ML as it comes with this system.
    ///
    /// - Parameter battery: percent and whether it charges; nil where nothing tells.
    public func coreMLRuntime(
        battery: @escaping @Sendable () async -> (percent: Int?, isCharging: Bool?) = { (nil, nil) }
    ) -> Runtime {
        Runtime(
            name: "Core ML",
            version: systemVersion(),
            abi: abi,
            load: { try await CoreMLModel.load($0, units: $1) },
            plan: { try await computePlan($0, units: $1) },
            state: {
                let (percent, isCharging) = await battery()
                let process = ProcessInfo.processInfo
                return About.State(
                    thermalState: name(of: process.thermalState), isLowPower: process.isLowPowerModeEnabled,
                    batteryPercent: percent, isCharging: isCharging)
            }
        )
    }

    private func systemVersion() -> String {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        #if os(iOS)
            let system = "iOS"
        #else
            let system = "macOS"
        #endif
        return "\(system) \(version.majorVersion).\(version.minorVersion).\(version.patchVersion)"
    }

    private var abi: String {
        #if arch(arm64)
            "arm64"
        #else
            "x86_64"
        #endif
    }

    private func name(of state: ProcessInfo.ThermalState) -> String {
        switch state {
        case .nominal: "nominal"
        case .fair: "fair"
        case .serious: "serious"
        case .critical: "critical"
        @unknown default: "unknown"
        }
    }
#endif
