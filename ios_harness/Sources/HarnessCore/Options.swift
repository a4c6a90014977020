import Foundation

/// What one start is to do: a JSON file that the driver writes. The keys are those of the other harness's programs.
public struct Options: Codable, Equatable, Sendable {
    public static let version = 1

    public enum Mode: String, Codable, Sendable {
        /// Each clip once; the logits of all are written.
        case run
        /// The first clip again and again; the logits of the last run are written.
        case time
        /// Only what the device says of itself.
        case about
        /// Remove what this driver put here, and what others left long ago.
        case remove
    }

    /// Which processors Core ML may choose from; the names are Core ML's own.
    public enum ComputeUnits: String, Codable, CaseIterable, Sendable {
        case all, cpuOnly, cpuAndGPU, cpuAndNeuralEngine
    }

    /// A file in the folder of the options, as it was sent.
    public struct PushedFile: Codable, Equatable, Sendable {
        public let name: String
        public let bytes: UInt64
        public let sha256: String

        public init(name: String, bytes: UInt64, sha256: String) {
            (self.name, self.bytes, self.sha256) = (name, bytes, sha256)
        }
    }

    /// A file of the model's package: where it goes in the package, and the pushed file that it is.
    public struct PackagedFile: Codable, Equatable, Sendable {
        public let path: String
        public let file: PushedFile

        public init(path: String, file: PushedFile) {
            (self.path, self.file) = (path, file)
        }
    }

    /// The model's package, in pieces, since files arrive one by one.
    public struct Package: Codable, Equatable, Sendable {
        public let name: String
        public let files: [PackagedFile]

        public init(name: String, files: [PackagedFile]) {
            (self.name, self.files) = (name, files)
        }
    }

    /// What the model is to run on and to give. `shape` is of the input, `classes` the number of logits of a clip.
    public struct Work: Codable, Equatable, Sendable {
        public let model: Package
        public let input: PushedFile
        public let shape: [Int]
        public let classes: Int
        public let clips: Int
        public let warmup: Int
        public let runs: Int
        public let computeUnits: ComputeUnits
        public let plan: Bool

        enum CodingKeys: String, CodingKey, CaseIterable {
            case model, input, shape, classes, clips, warmup, runs, plan
            case computeUnits = "compute_units"
        }

        public init(
            model: Package, input: PushedFile, shape: [Int], classes: Int, clips: Int, warmup: Int, runs: Int,
            computeUnits: ComputeUnits, plan: Bool
        ) {
            (self.model, self.input, self.shape, self.classes) = (model, input, shape, classes)
            (self.clips, self.warmup, self.runs) = (clips, warmup, runs)
            (self.computeUnits, self.plan) = (computeUnits, plan)
        }
    }

    public let version: Int
    public let mode: Mode
    public let work: Work?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case mode, work
        case version = "dvfl_mobile_options"
    }

    public init(mode: Mode, work: Work? = nil) {
        (self.version, self.mode, self.work) = (Self.version, mode, work)
    }

    /// Read options, and refuse what can't be meant.
    public static func read(_ data: Data) throws -> Options {
        try checkKeys(of: data)
        let options: Options
        do {
            options = try JSONDecoder().decode(Options.self, from: data)
        } catch {
            throw HarnessError(.options, "The options can't be understood: \(describe(error)).")
        }
        guard options.version == version else {
            throw HarnessError(.options, "The options are of version \(options.version), and not \(version).")
        }
        try options.check()
        return options
    }

    private static let mostClips = 100_000
    private static let mostRuns = 10_000_000
    private static let mostValues = 1 << 28

    private func check() throws {
        guard mode == .run || mode == .time else {
            guard work == nil else { throw HarnessError(.options, "\(mode.rawValue) takes no work.") }
            return
        }
        guard let work else { throw HarnessError(.options, "\(mode.rawValue) is missing its work.") }
        try work.check()
        guard mode == .time ? work.runs > 0 : work.runs == 0 && work.warmup == 0 else {
            throw HarnessError(.options, "\(mode.rawValue) can't have \(work.warmup) + \(work.runs) runs.")
        }
    }

    /// JSONDecoder passes over keys that it doesn't know; a driver that sends one means something by it.
    private static func checkKeys(of data: Data) throws {
        guard let document = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw HarnessError(.options, "The options are no JSON object.")
        }
        let known = Set(CodingKeys.allCases.map(\.rawValue))
        let workKeys = (document["work"] as? [String: Any])?.keys.map { String($0) } ?? []
        let unknown = Set(document.keys).subtracting(known)
            .union(Set(workKeys).subtracting(Work.CodingKeys.allCases.map(\.rawValue)))
        if let first = unknown.sorted().first {
            throw HarnessError(.options, "There is no option \(first.debugDescription.prefix(60)).")
        }
    }

    private static func describe(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "\(key.stringValue) is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context):
            "\(context.codingPath.map(\.stringValue).joined(separator: ".")) has the wrong kind of value"
        default: "\(error)"
        }
    }

    /// Refuse what names another folder, or can't be a file's name everywhere.
    static func checkName(_ name: String) throws {
        let isPlain = name.utf8.allSatisfy { byte in
            byte >= 0x21 && byte <= 0x7e && byte != UInt8(ascii: "/") && byte != UInt8(ascii: "\\")
        }
        guard isPlain, !name.isEmpty, name.utf8.count <= 120, !name.hasPrefix(".") else {
            throw HarnessError(.options, "\(name.debugDescription.prefix(80)) is no plain file name.")
        }
    }

    fileprivate static func checkPushed(_ file: PushedFile) throws {
        try checkName(file.name)
        guard file.sha256.utf8.count == 64, file.sha256.allSatisfy({ "0123456789abcdef".contains($0) }) else {
            throw HarnessError(.options, "\(file.name) comes with no SHA-256.")
        }
    }

    fileprivate static func isWithin(_ value: Int, _ least: Int, _ most: Int) -> Bool {
        value >= least && value <= most
    }

    fileprivate static func checkCounts(_ work: Work) throws {
        var values = 1
        for length in work.shape {
            let (product, overflowed) = values.multipliedReportingOverflow(by: length)
            guard length > 0, !overflowed, product <= mostValues else {
                throw HarnessError(.options, "\(work.shape) is no shape of a clip.")
            }
            values = product
        }
        guard isWithin(work.shape.count, 1, 8), isWithin(work.classes, 1, 1 << 20), isWithin(work.clips, 1, mostClips),
            isWithin(work.warmup, 0, mostRuns), isWithin(work.runs, 0, mostRuns)
        else {
            throw HarnessError(.options, "A count of clips, classes or runs is out of all bounds.")
        }
    }
}

extension Options.Work {
    /// Values of one clip.
    public var clipValues: Int { shape.reduce(1, *) }

    fileprivate func check() throws {
        try Options.checkCounts(self)
        try Options.checkPushed(input)
        try Options.checkName(model.name)
        guard !model.files.isEmpty, model.files.count <= 64 else {
            throw HarnessError(.options, "A package of \(model.files.count) files can't be meant.")
        }
        for entry in model.files {
            try Options.checkPushed(entry.file)
            for part in entry.path.split(separator: "/", omittingEmptySubsequences: false) {
                try Options.checkName(String(part))
            }
        }
        guard Set(model.files.map(\.path)).count == model.files.count else {
            throw HarnessError(.options, "The package lists a file twice.")
        }
    }
}
