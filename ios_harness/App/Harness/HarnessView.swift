import HarnessCore
import SwiftUI
import UIKit

struct HarnessView: View {
    @State private var status = "Waiting."

    var body: some View {
        VStack(spacing: 16) {
            Text("dvfl-mobile").font(.title)
            Text(status).font(.body.monospaced()).multilineTextAlignment(.center)
        }
        .padding()
        .task { await begin() }
    }

    private func begin() async {
        // A screen that goes dark would end the runs.
        UIApplication.shared.isIdleTimerDisabled = true
        UIDevice.current.isBatteryMonitoringEnabled = true
        guard let stem = ProcessInfo.processInfo.arguments.dropFirst().first else {
            status = lastResult()
            return
        }
        status = "Running \(stem). Leave the phone alone."
        let isWell = await Session(folder: documents, stem: stem, runtime: phoneRuntime())
            .start(clock: MonotonicClock())
        // The driver waits for the end of this process.
        exit(isWell ? 0 : 1)
    }

    /// Where the driver puts files, and takes them from.
    private var documents: URL {
        FileManager.default.urls(for: .documentDirectory, in: .userDomainMask)[0]
    }

    private func lastResult() -> String {
        let files = FileManager.default
        let found = (try? files.contentsOfDirectory(at: documents, includingPropertiesForKeys: nil)) ?? []
        let events = found.filter { $0.pathExtension == "events" }.map { (try? Data(contentsOf: $0)) ?? Data() }
        return events.compactMap { timedStatistics(ofEvents: $0)?.text }.last
            ?? "Nothing was run yet. On the Mac: dvfl-mobile profile ARTIFACT --device ios"
    }
}
