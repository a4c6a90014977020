import CoreMLRunner
import HarnessCore
import UIKit

/// Core ML, and the battery of this phone.
func phoneRuntime() -> Runtime {
    coreMLRuntime {
        await MainActor.run {
            let device = UIDevice.current
            let isCharging: Bool? =
                switch device.batteryState {
                case .charging, .full: true
                case .unplugged: false
                default: nil
                }
            return (device.batteryLevel < 0 ? nil : Int((device.batteryLevel * 100).rounded()), isCharging)
        }
    }
}
