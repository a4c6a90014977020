#if canImport(CoreML)
    import CoreML
    import Foundation
    import HarnessCore

    /// A compiled model; its folder goes with this object if it was compiled here.
    final class Compiled: Sendable {
        let url: URL
        /// What compiling took; nil: it came compiled.
        let nanoseconds: UInt64?

        init(_ package: URL, clock: some Clock) async throws {
            guard package.pathExtension != "mlmodelc" else {
                (url, nanoseconds) = (package, nil)
                return
            }
            let start = clock.nanoseconds()
            do {
                url = try await MLModel.compileModel(at: package)
            } catch {
                throw HarnessError(.model, "Core ML can't compile the package: \(error.localizedDescription)")
            }
            nanoseconds = clock.nanoseconds() - start
        }

        deinit {
            if nanoseconds != nil {
                try? FileManager.default.removeItem(at: url)
            }
        }
    }
#endif
