// A stand-in for as much of Apple's XCTest as the performance tests use; see the README beside it.
@_exported import Foundation

open class XCTestCase: NSObject {
    open func measure(
        metrics: [any XCTMetric], options: XCTMeasureOptions, block: () -> Void
    ) {}
}

public protocol XCTMetric {}
open class XCTClockMetric: NSObject, XCTMetric {}
open class XCTMemoryMetric: NSObject, XCTMetric {}

open class XCTMeasureOptions: NSObject {
    open var iterationCount = 5
}

public struct XCTSkip: Error {
    public init(_ message: String) { fatalError() }
}

public func XCTFail(_ message: String) {}
public func XCTAssertEqual<T: Equatable>(_ first: @autoclosure () throws -> T, _ second: @autoclosure () throws -> T) {}
public func XCTAssertGreaterThanOrEqual<T: Comparable>(
    _ first: @autoclosure () throws -> T, _ second: @autoclosure () throws -> T
) {}
