// A stand-in for as much of Apple's SwiftUI as the app uses; see the README beside it.
@_exported import Foundation

@MainActor @preconcurrency public protocol View {
    associatedtype Body: View
    @ViewBuilder var body: Body { get }
}

extension Never: View {
    public var body: Never { fatalError() }
}

@MainActor @preconcurrency public protocol Scene {}

@MainActor @preconcurrency public protocol App {
    associatedtype Body: Scene
    var body: Body { get }
    init()
}

extension App {
    public static func main() { fatalError() }
}

@resultBuilder public struct ViewBuilder {
    public static func buildBlock<each Content: View>(_ content: repeat each Content) -> Several<repeat each Content> {
        fatalError()
    }
    public static func buildBlock<Content: View>(_ content: Content) -> Content { fatalError() }
}

public struct Several<each Content: View>: View {
    public var body: Never { fatalError() }
}

public struct WindowGroup<Content: View>: Scene {
    public init(@ViewBuilder content: () -> Content) { fatalError() }
}

public struct VStack<Content: View>: View {
    public init(spacing: Double? = nil, @ViewBuilder content: () -> Content) { fatalError() }
    public var body: Never { fatalError() }
}

public struct Text: View {
    public init(_ content: String) { fatalError() }
    public func font(_ font: Font?) -> Text { fatalError() }
    public var body: Never { fatalError() }
}

public struct Font: Sendable {
    public static let title = Font()
    public static let body = Font()
    public func monospaced() -> Font { fatalError() }
}

public enum TextAlignment: Sendable {
    case leading, center, trailing
}

public struct Modified: View {
    public var body: Never { fatalError() }
}

extension View {
    public func multilineTextAlignment(_ alignment: TextAlignment) -> some View { Modified() }
    public func padding() -> some View { Modified() }
    public func task(_ action: @escaping @Sendable @MainActor () async -> Void) -> some View { Modified() }
}

@propertyWrapper public struct State<Value> {
    public init(wrappedValue: Value) { fatalError() }
    public var wrappedValue: Value {
        get { fatalError() }
        nonmutating set { fatalError() }
    }
}
