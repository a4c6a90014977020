// A stand-in for as much of Apple's UIKit as the app uses; see the README beside it.
@_exported import Foundation

@MainActor open class UIApplication: NSObject {
    public class var shared: UIApplication { fatalError() }
    open var isIdleTimerDisabled: Bool {
        get { fatalError() }
        set { fatalError() }
    }
}

@MainActor open class UIDevice: NSObject {
    public enum BatteryState: Int, Sendable {
        case unknown, unplugged, charging, full
    }

    public class var current: UIDevice { fatalError() }
    open var batteryState: BatteryState { fatalError() }
    open var batteryLevel: Float { fatalError() }
    open var isBatteryMonitoringEnabled: Bool {
        get { fatalError() }
        set { fatalError() }
    }
}
