import ArgumentParser
import WeftTemplate

/// What `service create` and `service update` both set: one value each, which counts when it is given.
struct ServiceSettings: ParsableArguments {
    @Option(help: "How many tasks there are to be.")
    var replicas: UInt64?
    @Option(help: "How many of them one node may have (0: as many as come).")
    var replicasMaxPerNode: UInt64?
    @Option(help: ArgumentHelp("Run a container of this image, by the container engine of each node.", valueName: "image"))
    var image: String?
    @Option(help: ArgumentHelp("The directory to be the /, by its path on every node.", valueName: "directory"))
    var rootfs: String?
    @Option(help: "The host name; may be a template, such as {{.Task.Name}}.")
    var hostname: String?
    @Option(
        name: [.customShort("w", allowingJoined: true), .long],
        help: ArgumentHelp("Where the command starts.", valueName: "directory"))
    var workdir: String?
    @Option(name: [.customShort("u", allowingJoined: true), .long], help: ArgumentHelp("Who runs it.", valueName: "name|uid[:group|gid]"))
    var user: String?
    @Option(help: "How it is found: vip (one address for all tasks) or dnsrr (the tasks' own).")
    var endpointMode: EndpointMode?
    @Option(help: ArgumentHelp("Processors at most, such as 0.5.", valueName: "number"))
    var limitCpu: CPUs?
    @Option(help: ArgumentHelp("Memory at most, such as 64m.", valueName: "bytes"))
    var limitMemory: Bytes?
    @Option(help: "Processes at most.")
    var limitPids: Int64?
    @Option(help: ArgumentHelp("Processors that a node must have to spare.", valueName: "number"))
    var reserveCpu: CPUs?
    @Option(help: ArgumentHelp("Memory that a node must have to spare.", valueName: "bytes"))
    var reserveMemory: Bytes?
    @Option(help: "When a task that ended is followed by another: none, on-failure or any.")
    var restartCondition: RestartCondition?
    @Option(help: ArgumentHelp("The time until then.", valueName: "duration"))
    var restartDelay: GoDuration?
    @Option(help: "How often, at most (0: as often as needed).")
    var restartMaxAttempts: Int64?
    @Option(help: ArgumentHelp("The time within which that is counted.", valueName: "duration"))
    var restartWindow: GoDuration?
    @Option(help: ArgumentHelp("The signal that ends a task.", valueName: "signal"))
    var stopSignal: String?
    @Option(help: ArgumentHelp("The time from there until it is ended by force.", valueName: "duration"))
    var stopGracePeriod: GoDuration?
    @OptionGroup var process: ProcessSettings
    @OptionGroup var update: UpdateSettings
    @OptionGroup var rollback: RollbackSettings

    /// The spec with what is given.
    func applied(to spec: TemplateValue) throws -> TemplateValue {
        var spec = spec
        if let replicas { try setReplicas(replicas, in: &spec) }
        spec.set(["EndpointSpec", "Mode"], (endpointMode?.rawValue).map(TemplateValue.string))
        let container = ["TaskTemplate", "ContainerSpec"]
        for (key, text) in [
            ("Image", image), ("Rootfs", rootfs.map(Path.absolute)), ("Hostname", hostname), ("Dir", workdir), ("User", user),
            ("StopSignal", stopSignal),
        ] {
            spec.set(container + [key], text.map(TemplateValue.string))
        }
        spec.set(container + ["StopGracePeriod"], (stopGracePeriod?.nanoseconds).map(TemplateValue.int))
        for (group, key, number) in [
            ("Limits", "NanoCPUs", limitCpu?.nano), ("Limits", "MemoryBytes", limitMemory?.count), ("Limits", "Pids", limitPids),
            ("Reservations", "NanoCPUs", reserveCpu?.nano), ("Reservations", "MemoryBytes", reserveMemory?.count),
        ] {
            spec.set(["TaskTemplate", "Resources", group, key], number.map(TemplateValue.int))
        }
        spec.set(["TaskTemplate", "Placement", "MaxReplicas"], replicasMaxPerNode.map { .int(Int64(clamping: $0)) })
        spec.set(["TaskTemplate", "RestartPolicy", "Condition"], (restartCondition?.rawValue).map(TemplateValue.string))
        for (key, number) in [
            ("Delay", restartDelay?.nanoseconds), ("MaxAttempts", restartMaxAttempts), ("Window", restartWindow?.nanoseconds),
        ] {
            spec.set(["TaskTemplate", "RestartPolicy", key], number.map(TemplateValue.int))
        }
        try process.apply(to: &spec)
        for (key, value) in update.values { spec.setUpdate("UpdateConfig", key, value) }
        for (key, value) in rollback.values { spec.setUpdate("RollbackConfig", key, value) }
        return spec
    }

    private func setReplicas(_ replicas: UInt64, in spec: inout TemplateValue) throws {
        let count = TemplateValue.int(Int64(clamping: replicas))
        switch spec["Mode"].object?.keys.first {
        case "Replicated"?: spec.set(["Mode", "Replicated", "Replicas"], count)
        case "ReplicatedJob"?: spec.set(["Mode", "ReplicatedJob", "TotalCompletions"], count)
        default: throw CommandFailure("replicas can only be used with replicated or replicated-job mode")
        }
    }
}

/// The same words for an update and for the way back.
protocol ReplacementSettings {
    var parallelism: UInt64? { get }
    var delay: GoDuration? { get }
    var failureAction: FailureAction? { get }
    var monitor: GoDuration? { get }
    var maxFailureRatio: Double? { get }
    var order: UpdateOrder? { get }
}

extension ReplacementSettings {
    var values: [(String, TemplateValue)] {
        [
            ("Parallelism", parallelism.map { .int(Int64(clamping: $0)) }), ("Delay", (delay?.nanoseconds).map(TemplateValue.int)),
            ("FailureAction", (failureAction?.rawValue).map(TemplateValue.string)),
            ("Monitor", (monitor?.nanoseconds).map(TemplateValue.int)),
            ("MaxFailureRatio", maxFailureRatio.map(TemplateValue.double)), ("Order", (order?.rawValue).map(TemplateValue.string)),
        ].compactMap { key, value in value.map { (key, $0) } }
    }
}

struct UpdateSettings: ParsableArguments, ReplacementSettings {
    @Option(name: .customLong("update-parallelism"), help: "How many tasks an update replaces at a time (0: all).")
    var parallelism: UInt64?
    @Option(name: .customLong("update-delay"), help: ArgumentHelp("The time between one and the next.", valueName: "duration"))
    var delay: GoDuration?
    @Option(name: .customLong("update-failure-action"), help: "What follows when new tasks fail: pause, continue or rollback.")
    var failureAction: FailureAction?
    @Option(
        name: .customLong("update-monitor"),
        help: ArgumentHelp("How long after its start a task's end counts as a failure.", valueName: "duration"))
    var monitor: GoDuration?
    @Option(name: .customLong("update-max-failure-ratio"), help: ArgumentHelp("How many may fail, 0 to 1.", valueName: "ratio"))
    var maxFailureRatio: Double?
    @Option(name: .customLong("update-order"), help: "What comes first: stop-first or start-first.")
    var order: UpdateOrder?
}

struct RollbackSettings: ParsableArguments, ReplacementSettings {
    @Option(name: .customLong("rollback-parallelism"), help: "How many tasks a rollback replaces at a time (0: all).")
    var parallelism: UInt64?
    @Option(name: .customLong("rollback-delay"), help: ArgumentHelp("The time between one and the next.", valueName: "duration"))
    var delay: GoDuration?
    @Option(name: .customLong("rollback-failure-action"), help: "What follows when tasks fail: pause or continue.")
    var failureAction: FailureAction?
    @Option(
        name: .customLong("rollback-monitor"),
        help: ArgumentHelp("How long after its start a task's end counts as a failure.", valueName: "duration"))
    var monitor: GoDuration?
    @Option(name: .customLong("rollback-max-failure-ratio"), help: ArgumentHelp("How many may fail, 0 to 1.", valueName: "ratio"))
    var maxFailureRatio: Double?
    @Option(name: .customLong("rollback-order"), help: "What comes first: stop-first or start-first.")
    var order: UpdateOrder?
}

enum EndpointMode: String, CaseIterable, ExpressibleByArgument { case vip, dnsrr }
enum FailureAction: String, CaseIterable, ExpressibleByArgument { case pause, `continue`, rollback }
enum UpdateOrder: String, CaseIterable, ExpressibleByArgument {
    case stopFirst = "stop-first"
    case startFirst = "start-first"
}
enum RestartCondition: String, CaseIterable, ExpressibleByArgument {
    case none, any
    case onFailure = "on-failure"
}

/// `0.5` processors.
struct CPUs: ExpressibleByArgument, Hashable {
    let nano: Int64

    init?(argument: String) {
        guard let number = Double(argument), number >= 0, let nano = Int64(exactly: (number * 1e9).rounded()) else { return nil }
        self.nano = nano
    }
}

/// `64m`, `1.5GB`, or a number of bytes; units are of 1024.
struct Bytes: ExpressibleByArgument, Hashable {
    let count: Int64

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber || $0 == "." }
        var unit = argument[digits.endIndex...].trimmed.lowercased()
        if unit.hasSuffix("b") { unit.removeLast() }
        if unit.hasSuffix("i") { unit.removeLast() }
        let units: [String: Double] = ["": 1, "k": 0x1p10, "m": 0x1p20, "g": 0x1p30, "t": 0x1p40, "p": 0x1p50]
        guard let number = Double(digits), let scale = units[unit], let count = Int64(exactly: (number * scale).rounded())
        else { return nil }
        self.count = count
    }
}

extension TemplateValue {
    /// Sets a member deep inside, and makes the objects on the way to it. Nil changes nothing.
    mutating func set(_ path: [String], _ value: TemplateValue?) {
        guard let value, let key = path.first else { return }
        var object = self.object ?? TemplateObject()
        if path.count == 1 {
            object[key] = value
        } else {
            var inner = object[key] ?? .null
            inner.set(Array(path.dropFirst()), value)
            object[key] = inner
        }
        self = .object(object)
    }

    /// The rest of a config of which one thing is said is as by default.
    mutating func setUpdate(_ config: String, _ key: String, _ value: TemplateValue) {
        if self[config].isNull { set([config], ["Parallelism": 1, "FailureAction": "pause", "Order": "stop-first"]) }
        set([config, key], value)
    }
}
