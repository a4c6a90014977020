// The harness on a Mac: `dvfl-mobile-run-coreml FOLDER STEM` does what FOLDER/STEM.options says, and prints the events.
import CoreMLRunner
import Foundation
import HarnessCore

#if canImport(CoreML)
    let arguments = CommandLine.arguments
    guard arguments.count == 3 else {
        FileHandle.standardError.write(Data("usage: dvfl-mobile-run-coreml FOLDER STEM\n".utf8))
        exit(2)
    }
    let folder = URL(fileURLWithPath: arguments[1])
    let session = Session(folder: folder, stem: arguments[2], runtime: coreMLRuntime())
    let isWell = await session.start(clock: MonotonicClock()) { FileHandle.standardOutput.write($0) }
    let events = try? Data(contentsOf: folder.appendingPathComponent("\(arguments[2]).events"))
    if let statistics = events.flatMap(timedStatistics(ofEvents:)) {
        FileHandle.standardError.write(Data("\(statistics.text)\n".utf8))
    }
    exit(isWell ? 0 : 1)
#else
    FileHandle.standardError.write(Data("Core ML is on Apple's systems only.\n".utf8))
    exit(7)
#endif
