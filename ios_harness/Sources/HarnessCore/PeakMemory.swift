import Foundation

/// The most bytes that this process had resident; nil where the system doesn't tell.
///
/// Not what iOS counts before it ends an app: that is the footprint, which leaves mapped files out and adds what the
/// process had compressed.
public func peakResidentBytes() -> UInt64? {
    var usage = rusage()
    #if os(Linux)
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return nil }
        let unit: UInt64 = 1024
    #else
        guard getrusage(RUSAGE_SELF, &usage) == 0 else { return nil }
        let unit: UInt64 = 1
    #endif
    return UInt64(usage.ru_maxrss) * unit
}
