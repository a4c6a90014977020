import Dispatch

/// Nanoseconds of a clock that never goes back.
public protocol Clock: Sendable {
    func nanoseconds() -> UInt64
}

/// The system's monotonic clock, which stands still while the device sleeps.
public struct MonotonicClock: Clock {
    public init() {}

    public func nanoseconds() -> UInt64 {
        DispatchTime.now().uptimeNanoseconds
    }
}
