import WeftModel
import WeftText

extension TaskSpec {
    init(_ fields: Fields) throws(APIError) {
        try fields.refuse("PluginSpec", because: "a service runs containers or sandboxes, no plugins")
        try fields.refuse(
            "NetworkAttachmentSpec",
            because: "containers are put on networks by themselves; leave it out, and make a service of a container")
        let containerFields = try fields.object("ContainerSpec")
        self.init(container: try ContainerSpec(containerFields))
        runtime = try Self.runtime(fields, of: container)
        try readResources(fields.object("Resources"))
        restart = try fields.fields("RestartPolicy").map(RestartPolicy.init)
        placement = try Placement(fields.object("Placement"))
        networks = try fields.objects("Networks").map(TaskNetwork.init)
        if let sent = try fields.fields("LogDriver") {
            logDriver = LogDriver(name: try sent.string("Name") ?? "", options: try sent.map("Options"))
        }
        forceUpdate = try fields.count("ForceUpdate") ?? 0
        switch runtime {
        case .sandbox: try checkSandbox()
        case .container:
            guard !container.image.isEmpty else { throw .invalidArgument("ContainerSpec: image reference must be provided") }
            guard container.rootfs == nil else {
                throw .badRequest("\(containerFields.name("Rootfs")) is a sandbox's; a container has what its image holds: leave it out")
            }
        }
    }

    /// Without a word of it, what has a root file system instead of an image is a sandbox.
    private static func runtime(_ fields: Fields, of container: ContainerSpec) throws(APIError) -> Runtime {
        guard let text = try fields.text("Runtime") else {
            return container.image.isEmpty && container.rootfs != nil ? .sandbox : .container
        }
        guard let runtime = Runtime(rawValue: text.lowercased()) else {
            throw .unavailable(
                "\(fields.name("Runtime")) \"\(text)\" is not available in this version of Weft: there are container, and sandbox for "
                    + "what Weft runs itself")
        }
        return runtime
    }

    private mutating func readResources(_ fields: Fields) throws(APIError) {
        try fields.refuse("SwapBytes", "MemorySwappiness", because: "swap is as the host's engine has it")
        let reserved = try fields.object("Reservations")
        try reserved.refuse("Pids", because: "only a limit can be given of it")
        limits = try ResourceAmounts(fields.object("Limits"))
        reservations = try ResourceAmounts(reserved)
        let generic = try reserved.objects("GenericResources").map(GenericResource.init)
        reservations.generic = generic.isEmpty ? nil : generic
    }
}

extension ResourceAmounts {
    fileprivate init(_ fields: Fields) throws(APIError) {
        self.init()
        nanoCPUs = try fields.integer("NanoCPUs") ?? 0
        memoryBytes = try fields.integer("MemoryBytes") ?? 0
        pids = try fields.integer("Pids") ?? 0
        guard nanoCPUs == 0 || nanoCPUs >= 1_000_000 else {
            let cpus = ShortestNumber.text(Double(nanoCPUs) / 1e9, plain: -4..<21)
            throw .invalidArgument("invalid cpu value \(cpus): Must be at least 0.001")
        }
        guard memoryBytes == 0 || memoryBytes >= 4 << 20 else {
            throw .invalidArgument("invalid memory value \(memoryBytes): Must be at least 4MiB")
        }
        guard pids >= 0 else { throw .badRequest("\(fields.name("Pids")) must not be negative") }
    }
}

extension GenericResource {
    fileprivate init(_ fields: Fields) throws(APIError) {
        if let named = try fields.fields("NamedResourceSpec") {
            self.init(kind: try named.string("Kind") ?? "", .named(try named.string("Value") ?? ""))
        } else {
            let discrete = try fields.object("DiscreteResourceSpec")
            self.init(kind: try discrete.string("Kind") ?? "", .count(try discrete.integer("Value") ?? 0))
        }
        guard !kind.isEmpty else { throw .badRequest("a generic resource has a Kind, in a DiscreteResourceSpec or a NamedResourceSpec") }
    }
}

extension RestartPolicy {
    fileprivate init(_ fields: Fields) throws(APIError) {
        self.init()
        if let text = try fields.text("Condition") {
            guard let condition = Condition(rawValue: text) else { throw .badRequest("invalid RestartCondition: \"\(text)\"") }
            self.condition = condition
        }
        delay = try fields.span("Delay", negative: "TaskSpec: restart-delay cannot be negative") ?? delay
        window = try fields.span("Window", negative: "TaskSpec: restart-window cannot be negative") ?? window
        maxAttempts = try fields.count("MaxAttempts") ?? maxAttempts
    }
}

extension Placement {
    fileprivate init(_ fields: Fields) throws(APIError) {
        self.init()
        constraints = try fields.strings("Constraints")
        for preference in try fields.objects("Preferences") {
            // There is one kind of preference; Docker leaves others out of account too.
            if let spread = try preference.fields("Spread") { spreads.append(try spread.string("SpreadDescriptor") ?? "") }
        }
        maxReplicasPerNode = try fields.count("MaxReplicas") ?? 0
        for entry in try fields.objects("Platforms") {
            platforms.append(Platform(architecture: try entry.string("Architecture") ?? "", os: try entry.string("OS") ?? ""))
        }
    }
}

extension TaskNetwork {
    init(_ fields: Fields) throws(APIError) {
        guard let target = try fields.text("Target") else {
            throw .badRequest("\(fields.name("Target")) is missing; give a network's name or id")
        }
        self.init(target: target)
        aliases = try fields.strings("Aliases")
        driverOptions = try fields.map("DriverOpts")
        if let alias = aliases.first(where: { !Endpoint.isName($0) }) {
            throw .badRequest("\(fields.name("Aliases")) holds \"\(alias)\"; a name has \(Endpoint.nameRule)")
        }
        // Others are kept and shown: no network of the swarm has options for an endpoint, nor has Docker's overlay driver.
        if let option = driverOptions.keys.sorted().first(where: Self.means) {
            throw .unavailable(
                "\(fields.name("DriverOpts")) holds \(option), and there are no such options in this version of Weft; leave it out")
        }
        if let option = driverOptions.keys.min(), NetworkSpec.predefinedNames.contains(target) {
            throw .unavailable("\(fields.name("DriverOpts")) holds \(option), and options for \(target) are the engine's; leave it out")
        }
    }

    /// Docker's engine, or Weft, would do something because of it.
    private static func means(_ option: String) -> Bool {
        ["com.docker.network.", "weft."].contains { option.lowercased().hasPrefix($0) }
    }
}
