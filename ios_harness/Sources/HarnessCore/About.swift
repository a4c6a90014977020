/// What a device says of itself in one start: a JSON file beside the events.
public struct About: Codable, Equatable, Sendable {
    /// What changes while it is used; nil where the system doesn't tell.
    public struct State: Codable, Equatable, Sendable {
        public let thermalState: String?
        public let isLowPower: Bool?
        public let batteryPercent: Int?
        public let isCharging: Bool?

        enum CodingKeys: String, CodingKey {
            case thermalState = "thermal_state"
            case isLowPower = "is_low_power"
            case batteryPercent = "battery_percent"
            case isCharging = "is_charging"
        }

        public init(thermalState: String?, isLowPower: Bool?, batteryPercent: Int?, isCharging: Bool?) {
            (self.thermalState, self.isLowPower) = (thermalState, isLowPower)
            (self.batteryPercent, self.isCharging) = (batteryPercent, isCharging)
        }
    }

    /// Where the runtime means to run one operation; an estimate of its own, made before anything runs.
    public struct Planned: Codable, Equatable, Sendable {
        /// Its kind, such as `ios16.linear`.
        public let kind: String
        /// The name of its first output.
        public let output: String
        /// `cpu`, `gpu` or `neuralEngine`; nil where it is unknown, as for constants.
        public let preferred: String?
        public let supported: [String]
        /// Its share of the model's cost, 0 to 1, by the runtime's estimate.
        public let cost: Double?

        public init(kind: String, output: String, preferred: String?, supported: [String], cost: Double?) {
            (self.kind, self.output, self.preferred) = (kind, output, preferred)
            (self.supported, self.cost) = (supported, cost)
        }
    }

    public let system: String
    public let memoryBytes: UInt64
    public let cores: Int
    public let before: State
    public let after: State
    /// Nanoseconds to compile the model's package on the device.
    public let compileNs: UInt64?
    public let plan: [Planned]?

    enum CodingKeys: String, CodingKey {
        case system, cores, before, after, plan
        case memoryBytes = "memory_bytes"
        case compileNs = "compile_ns"
    }

    public init(
        system: String, memoryBytes: UInt64, cores: Int, before: State, after: State, compileNs: UInt64?,
        plan: [Planned]?
    ) {
        (self.system, self.memoryBytes, self.cores) = (system, memoryBytes, cores)
        (self.before, self.after, self.compileNs, self.plan) = (before, after, compileNs, plan)
    }
}
