import WeftEngine
import WeftModel
import WeftNet
import WeftSandbox
import WeftText

/// What the Engine API is told of a task's container, as dockerd makes it of a service's spec.
struct EngineTaskBody {
    /// What finds the containers of tasks, for whoever knows Swarm's.
    enum Label {
        static let task = "com.docker.swarm.task"
        static let taskID = "com.docker.swarm.task.id"
        static let taskName = "com.docker.swarm.task.name"
        static let node = "com.docker.swarm.node.id"
        static let service = "com.docker.swarm.service.id"
        static let serviceName = "com.docker.swarm.service.name"
    }

    private let order: TaskOrder
    private let templates: TaskTemplates
    private let files: [LaidFile]
    /// Where the container is to run, complete with its endpoints; nil: its engine makes these.
    private let namespace: String?
    private var task: ServiceTask { order.task }
    private let spec: ContainerSpec

    init(_ order: TaskOrder, files: [LaidFile], for kind: EngineKind = .docker, namespace: String? = nil) {
        self.order = order
        self.files = files
        self.namespace = namespace
        let container = order.task.spec.container
        spec = kind == .podman ? container.forPodman : container
        templates = TaskTemplates(order.task, on: order.node)
    }

    /// The first of its networks is in it; the others are connected after it.
    func json() throws -> JSON {
        var body: JSON = [
            "Image": .string(spec.image), "Labels": .map(labels),
            "Env": .strings(try spec.environment.map { try templates.fill($0) }),
            "Hostname": .string(try hostname), "User": .string(spec.user),
            "WorkingDir": .string(spec.directory), "Tty": .bool(spec.hasTerminal),
            "OpenStdin": .bool(spec.opensStandardInput), "StopSignal": .string(spec.stopSignal),
        ]
        if !spec.command.isEmpty { body.set("Entrypoint", .strings(spec.command)) }
        if !spec.arguments.isEmpty { body.set("Cmd", .strings(spec.arguments)) }
        if let check = spec.healthcheck { body.set("Healthcheck", Self.json(check)) }
        let ports = task.ports.filter { $0.mode == .host }.map { Self.name(of: $0) }
        if !ports.isEmpty { body.set("ExposedPorts", .object(ports.map { ($0, [:]) })) }
        body.set("HostConfig", try hostConfiguration())
        if namespace == nil, let first = order.networks.first {
            let endpoints: JSON = .object([(first.spec.name, endpoint)])
            body.set("NetworkingConfig", ["EndpointsConfig": endpoints])
        }
        return body
    }

    var hostname: String { get throws { try templates.fill(spec.hostname) } }

    /// Has the plug-in give the endpoint its task.
    var endpoint: JSON {
        [
            "DriverOpts": .map([
                Constants.serviceOption: task.service.rawValue, Constants.taskOption: task.id.rawValue,
                Constants.slotOption: String(task.slot),
            ])
        ]
    }

    private var labels: [String: String] {
        var labels = spec.labels
        labels[Label.task] = ""
        labels[Label.taskID] = task.id.rawValue
        labels[Label.taskName] = task.name
        labels[Label.node] = order.node.id.rawValue
        labels[Label.service] = task.service.rawValue
        labels[Label.serviceName] = task.serviceName
        return labels
    }

    // MARK: The host's side

    private func hostConfiguration() throws -> JSON {
        var host: JSON = [
            "ReadonlyRootfs": .bool(spec.isReadOnly), "CapAdd": .strings(spec.addedCapabilities),
            "CapDrop": .strings(spec.droppedCapabilities), "GroupAdd": .strings(spec.groups),
            "Sysctls": .map(spec.sysctls), "OomScoreAdj": .integer(spec.oomScoreAdjustment),
            "Isolation": .string(spec.isolation), "Dns": .strings(servers), "DnsSearch": .strings(spec.dns.search),
            "DnsOptions": .strings(resolverOptions),
        ]
        host.set("ExtraHosts", .strings(spec.hosts.flatMap { Self.extraHosts($0) }))
        host.set("SecurityOpt", .strings(try securityOptions()))
        host.set("NetworkMode", .string(networkMode))
        host.set("Mounts", .array(try mounts()))
        // Its restarts are Weft's.
        host.set("RestartPolicy", ["Name": "no"])
        host.set("Ulimits", .array(processLimits))
        host.set("PortBindings", portBindings)
        if let usesInit = spec.usesInit { host.set("Init", .bool(usesInit)) }
        let limits = task.spec.limits
        if limits.nanoCPUs > 0 { host.set("NanoCpus", .integer(limits.nanoCPUs)) }
        if limits.memoryBytes > 0 { host.set("Memory", .integer(limits.memoryBytes)) }
        if limits.pids > 0 { host.set("PidsLimit", .integer(limits.pids)) }
        if let driver = task.spec.logDriver {
            host.set("LogConfig", ["Type": .string(driver.name), "Config": .map(driver.options)])
        }
        return host
    }

    private var processLimits: [JSON] {
        spec.limits.map { limit -> JSON in
            ["Name": .string(limit.name), "Soft": .integer(limit.soft), "Hard": .integer(limit.hard)]
        }
    }

    /// A container on the swarm's networks asks Weft first, and in a namespace of Weft's nobody else: there weftd asks the others.
    private var servers: [String] {
        if order.networks.isEmpty { return spec.dns.nameservers }
        return [Constants.resolver.description] + (namespace == nil ? spec.dns.nameservers : [])
    }

    /// Docker's resolver says so of itself.
    private var resolverOptions: [String] {
        let given = spec.dns.options
        return namespace == nil || given.contains { $0.hasPrefix("ndots:") } ? given : given + [Constants.namesAsTheyAre]
    }

    private var networkMode: String {
        if let namespace { return "ns:\(namespace)" }
        return order.networks.first?.spec.name ?? task.spec.networks.first?.target ?? "default"
    }

    private var portBindings: JSON {
        guard namespace == nil else { return [:] }
        let ports = task.ports.filter { $0.mode == .host }
        let names = Set(ports.map { Self.name(of: $0) }).sorted()
        return .object(
            names.map { name in
                let bindings = ports.filter { Self.name(of: $0) == name }.map { port -> JSON in
                    ["HostPort": .string(port.published == 0 ? "" : String(port.published))]
                }
                return (name, .array(bindings))
            })
    }

    static func name(of port: PortConfig) -> String { "\(port.target)/\(port.transport.rawValue)" }

    /// `address name…` to what the Engine API takes.
    private static func extraHosts(_ line: String) -> [String] {
        let words = line.split(whereSeparator: \.isWhitespace)
        return words.dropFirst().map { "\($0):\(words[0])" }
    }

    private static func json(_ check: ContainerSpec.Healthcheck) -> JSON {
        [
            "Test": .strings(check.test), "Interval": .integer(check.interval), "Timeout": .integer(check.timeout),
            "StartPeriod": .integer(check.startPeriod), "StartInterval": .integer(check.startInterval),
            "Retries": .integer(check.retries),
        ]
    }

    private func securityOptions() throws -> [String] {
        guard let privileges = spec.privileges else { return [] }
        var options: [String] = []
        if let selinux = privileges.selinux {
            if selinux.isDisabled { options.append("label=disable") }
            let parts = [
                ("user", selinux.user), ("role", selinux.role), ("type", selinux.type), ("level", selinux.level),
            ]
            for (name, value) in parts where !value.isEmpty { options.append("label=\(name):\(value)") }
        }
        switch privileges.seccompMode {
        case "unconfined": options.append("seccomp=unconfined")
        case "custom":
            let text = (privileges.seccompProfile ?? "").prefix { $0 != "=" }
            guard let profile = Base64.decoded(unpadded: text) else {
                throw TaskFailure("the seccomp profile is not base 64")
            }
            options.append("seccomp=\(String(decoding: profile, as: UTF8.self))")
        default: break
        }
        if privileges.appArmorMode == "disabled" { options.append("apparmor=unconfined") }
        if privileges.noNewPrivileges { options.append("no-new-privileges=true") }
        return options
    }

    // MARK: Mounts

    private func mounts() throws -> [JSON] {
        let laid = files.map { file -> JSON in
            ["Type": "bind", "Source": .string(file.source), "Target": .string(file.target), "ReadOnly": true]
        }
        return try spec.mounts.map { try json($0) } + laid
    }

    private func json(_ mount: ContainerSpec.Mount) throws -> JSON {
        var json: JSON = [
            "Type": .string(mount.kind.rawValue), "Source": .string(try templates.fill(mount.source)),
            "Target": .string(try templates.fill(mount.target)), "ReadOnly": .bool(mount.isReadOnly),
        ]
        if !mount.consistency.isEmpty { json.set("Consistency", .string(mount.consistency)) }
        switch mount.kind {
        case .bind:
            var options: JSON = [
                "NonRecursive": .bool(mount.isNonRecursive), "CreateMountpoint": .bool(mount.createsSource),
            ]
            if let propagation = mount.propagation { options.set("Propagation", .string(propagation)) }
            json.set("BindOptions", options)
        case .volume:
            var options: JSON = ["NoCopy": .bool(mount.volumeNoCopy), "Labels": .map(mount.volumeLabels)]
            if !mount.volumeSubpath.isEmpty { options.set("Subpath", .string(mount.volumeSubpath)) }
            if let driver = mount.volumeDriver {
                options.set("DriverConfig", ["Name": .string(driver.name), "Options": .map(driver.options)])
            }
            json.set("VolumeOptions", options)
        case .tmpfs:
            // What is zero was not said, which podman does not know.
            guard mount.tmpfsSizeBytes > 0 || mount.tmpfsMode > 0 else { break }
            let mode = mount.tmpfsMode > 0 ? mount.tmpfsMode : 0o1777
            json.set("TmpfsOptions", ["SizeBytes": .integer(mount.tmpfsSizeBytes), "Mode": .integer(Int64(mode))])
        case .npipe, .cluster, .image: break
        }
        return json
    }
}
