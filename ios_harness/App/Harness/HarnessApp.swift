import SwiftUI

/// The app that the driver starts with the name of its options. Started by hand, it shows what the last start gave.
@main
struct HarnessApp: App {
    var body: some Scene {
        WindowGroup {
            HarnessView()
        }
    }
}
