// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "DvflMobileHarness",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "HarnessCore", targets: ["HarnessCore"]),
        .library(name: "CoreMLRunner", targets: ["CoreMLRunner"]),
        .executable(name: "dvfl-mobile-run-coreml", targets: ["dvfl-mobile-run-coreml"]),
    ],
    targets: [
        .target(name: "HarnessCore"),
        .target(name: "CoreMLRunner", dependencies: ["HarnessCore"]),
        .executableTarget(name: "dvfl-mobile-run-coreml", dependencies: ["CoreMLRunner", "HarnessCore"]),
        .testTarget(name: "HarnessCoreTests", dependencies: ["HarnessCore"]),
    ],
    swiftLanguageModes: [.v6]
)
