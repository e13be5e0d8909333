import ArgumentParser
import WeftTemplate

/// What `service create` and `service update` both set of how a task's processes run and are looked at.
struct ProcessSettings: ParsableArguments {
    @Flag(name: .customLong("init"), inversion: .prefixedNo, help: "Have an init hand on signals and reap what ended.")
    var hasInit: Bool?
    @Flag(inversion: .prefixedNo, help: "Mount the root file system read-only.")
    var readOnly: Bool?
    @Flag(inversion: .prefixedNo, help: "Let no process gain privileges by what it runs.")
    var noNewPrivileges: Bool?
    @Option(help: ArgumentHelp("Who is ended first when memory is short (-1000 to 1000).", valueName: "number"))
    var oomScoreAdj: Int64?
    @Option(help: ArgumentHelp("A shell's line that says by its exit code whether a task is healthy.", valueName: "command"))
    var healthCmd: String?
    @Option(help: ArgumentHelp("The time between one and the next.", valueName: "duration"))
    var healthInterval: GoDuration?
    @Option(help: ArgumentHelp("How long one may take.", valueName: "duration"))
    var healthTimeout: GoDuration?
    @Option(help: "How many in a row make it unhealthy.")
    var healthRetries: Int64?
    @Option(help: ArgumentHelp("How long after its start none of them counts.", valueName: "duration"))
    var healthStartPeriod: GoDuration?
    @Option(help: ArgumentHelp("The time between one and the next until then.", valueName: "duration"))
    var healthStartInterval: GoDuration?
    @Flag(name: .customLong("no-healthcheck"), help: "Have no health checks.")
    var noHealthcheck = false

    func apply(to spec: inout TemplateValue) throws {
        let container = ["TaskTemplate", "ContainerSpec"]
        spec.set(container + ["Init"], hasInit.map(TemplateValue.bool))
        spec.set(container + ["ReadOnly"], readOnly.map(TemplateValue.bool))
        spec.set(container + ["Privileges", "NoNewPrivileges"], noNewPrivileges.map(TemplateValue.bool))
        spec.set(container + ["OomScoreAdj"], oomScoreAdj.map(TemplateValue.int))
        let times = [
            ("Interval", healthInterval?.nanoseconds), ("Timeout", healthTimeout?.nanoseconds), ("Retries", healthRetries),
            ("StartPeriod", healthStartPeriod?.nanoseconds), ("StartInterval", healthStartInterval?.nanoseconds),
        ]
        if noHealthcheck {
            guard healthCmd == nil, times.allSatisfy({ $0.1 == nil }) else {
                throw CommandFailure("--no-healthcheck conflicts with --health-* options")
            }
            return spec.set(container + ["Healthcheck"], ["Test": .strings(["NONE"])])
        }
        if let healthCmd { spec.set(container + ["Healthcheck", "Test"], .strings(["CMD-SHELL", healthCmd])) }
        for (key, number) in times { spec.set(container + ["Healthcheck", key], number.map(TemplateValue.int)) }
    }
}

/// What a service may have several of, as `service create` takes it.
struct ProcessLists: ParsableArguments {
    @Option(help: ArgumentHelp("A further group of its processes.", valueName: "name|gid"))
    var group: [String] = []
    @Option(help: ArgumentHelp("A capability besides the usual ones; ALL for each.", valueName: "capability"))
    var capAdd: [String] = []
    @Option(help: ArgumentHelp("A capability that it does not have; ALL for each.", valueName: "capability"))
    var capDrop: [String] = []
    @Option(help: ArgumentHelp("A limit of its processes, such as nofile=1024:2048.", valueName: "name=soft[:hard]"))
    var ulimit: [String] = []
    @Option(help: ArgumentHelp("A kernel setting of its namespaces.", valueName: "name=value"))
    var sysctl: [String] = []
    @Option(help: ArgumentHelp("A line of its /etc/hosts.", valueName: "name:address"))
    var addHost: [String] = []

    func apply(to container: inout TemplateValue) throws {
        for (key, list) in [("Groups", group), ("CapabilityAdd", capAdd), ("CapabilityDrop", capDrop)] where !list.isEmpty {
            container[key] = .strings(list)
        }
        if !ulimit.isEmpty { container["Ulimits"] = .array(try ulimit.map(Self.limit)) }
        if !addHost.isEmpty { container["Hosts"] = .strings(try addHost.map(Self.hostsLine)) }
        guard !sysctl.isEmpty else { return }
        var settings = TemplateObject(kind: .map)
        for (name, value) in try pairs(sysctl, option: "--sysctl").sorted(by: { $0.key < $1.key }) { settings[name] = .string(value) }
        container["Sysctls"] = .object(settings)
    }

    private static func limit(_ argument: String) throws -> TemplateValue {
        let halves = argument.split(separator: "=", maxSplits: 1)
        let numbers = halves.count == 2 ? halves[1].split(separator: ":").map { Int64($0) } : []
        guard let soft = numbers.first ?? nil, let hard = numbers.last ?? nil, numbers.count <= 2 else {
            throw CommandFailure("invalid ulimit \(argument): give it as NAME=SOFT or NAME=SOFT:HARD")
        }
        return ["Name": .string(String(halves[0])), "Soft": .int(soft), "Hard": .int(hard)]
    }

    /// `name:address` to a line of /etc/hosts.
    private static func hostsLine(_ argument: String) throws -> String {
        let halves = argument.split(separator: ":", maxSplits: 1)
        guard halves.count == 2 else { throw CommandFailure("invalid host \(argument): give it as NAME:ADDRESS") }
        return "\(halves[1]) \(halves[0])"
    }
}
