import WeftLinux
import WeftModel
package import WeftNet
import WeftNode
package import WeftSandbox
import WeftSandboxWire
import WeftText

/// What is made a sandbox for a task, of a service's spec with its templates filled in.
package struct SandboxTaskBody {
    private let order: TaskOrder
    private let id: String
    private let templates: TaskTemplates
    private var task: ServiceTask { order.task }
    private var container: ContainerSpec { order.task.spec.container }

    package init(_ order: TaskOrder, id: String) {
        self.order = order
        self.id = id
        templates = TaskTemplates(order.task, on: order.node)
    }

    /// Those that names outside the swarm are asked of, instead of the host's.
    package var servers: [IPv4Address] { container.dns.nameservers.compactMap { IPv4Address($0) } }

    /// `resolver`: where it asks for names unless it is told otherwise.
    package func spec(files: [LaidFile], resolver: SandboxSpec.Resolver) throws -> SandboxSpec {
        let hostname = try templates.fill(container.hostname)
        var spec = SandboxSpec(
            id: id, name: task.name, hostname: hostname.isEmpty ? String(id.prefix(12)) : hostname,
            command: container.command + container.arguments,
            environment: try container.environment.map { try templates.fill($0) }, rootfs: container.rootfs,
            workingDirectory: container.directory.isEmpty ? nil : container.directory, terminal: container.hasTerminal,
            openStdin: container.opensStandardInput, resolver: resolver)
        setNames(of: &spec)
        spec.task = task.id.rawValue
        spec.stopSignal = SignalNumber.named(container.stopSignal)
        spec.isReadOnly = container.isReadOnly
        spec.hasInit = container.usesInit ?? false
        spec.confinement = confinement
        spec.sysctls = container.sysctls
        spec.resources = resources
        spec.health = container.healthcheck.flatMap(SandboxSpec.HealthCheck.init)
        spec.mounts =
            try container.mounts.map { try mount($0) }
            + files.map { SandboxMount(source: $0.source, target: $0.target, isReadOnly: true) }
        return spec
    }

    private func setNames(of spec: inout SandboxSpec) {
        spec.upstreams = servers.map(\.description)
        if order.networks.isEmpty, !servers.isEmpty { spec.resolver.addresses = spec.upstreams }
        spec.resolver.search = container.dns.search
        if !container.dns.options.isEmpty { spec.resolver.options = container.dns.options }
        spec.ownHosts = container.hosts.map { line in
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            return SandboxSpec.HostsEntry(address: words[0], names: Array(words.dropFirst()))
        }
        spec.hosts = spec.ownHosts ?? []
    }

    private var confinement: Confinement {
        var confinement = Confinement()
        confinement.user = container.user
        confinement.groups = container.groups
        confinement.capabilities = SandboxRights.capabilities(
            usual: Confinement.defaultCapabilities, adding: container.addedCapabilities, dropping: container.droppedCapabilities)
        confinement.noNewPrivileges = container.privileges?.noNewPrivileges ?? false
        confinement.oomScoreAdjustment = Int32(clamping: container.oomScoreAdjustment)
        confinement.limits = container.limits.compactMap { limit in
            SandboxRights.limit(limit.name).map {
                // -1 is no limit, as the kernel has it.
                Confinement.Limit(
                    name: limit.name, resource: $0, soft: UInt64(bitPattern: limit.soft), hard: UInt64(bitPattern: limit.hard))
            }
        }
        return confinement
    }

    private var resources: ResourceLimits? {
        let limits = task.spec.limits
        guard limits != ResourceAmounts() else { return nil }
        func given(_ number: Int64) -> Int64? { number > 0 ? number : nil }
        return ResourceLimits(
            nanoCPUs: given(limits.nanoCPUs), memoryBytes: given(limits.memoryBytes), processes: given(limits.pids))
    }

    private func mount(_ wanted: ContainerSpec.Mount) throws -> SandboxMount {
        let target = try templates.fill(wanted.target)
        guard wanted.kind == .bind else {
            var memory = SandboxMount(source: nil, target: target, isReadOnly: wanted.isReadOnly)
            let mode = String(wanted.tmpfsMode > 0 ? wanted.tmpfsMode : 0o1777, radix: 8)
            memory.options = "mode=\(mode)" + (wanted.tmpfsSizeBytes > 0 ? ",size=\(wanted.tmpfsSizeBytes)" : "")
            return memory
        }
        var bind = SandboxMount(source: try templates.fill(wanted.source), target: target, isReadOnly: wanted.isReadOnly)
        bind.isRecursive = !wanted.isNonRecursive
        bind.makesSource = wanted.createsSource
        bind.followsHost = ["slave", "rslave"].contains(wanted.propagation)
        return bind
    }
}

extension SandboxSpec.HealthCheck {
    /// Nil: there is none.
    fileprivate init?(_ check: ContainerSpec.Healthcheck) {
        switch check.test.first {
        case "CMD"?: self.init(command: Array(check.test.dropFirst()))
        case "CMD-SHELL"?: self.init(command: ["/bin/sh", "-c"] + check.test.dropFirst())
        default: return nil
        }
        (interval, timeout, retries) = (check.interval, check.timeout, check.retries)
        (startPeriod, startInterval) = (check.startPeriod, check.startInterval)
    }
}

extension ContainerSpec.Healthcheck {
    init(_ check: SandboxSpec.HealthCheck) {
        self.init()
        (interval, timeout, retries) = (check.interval, check.timeout, check.retries)
        (startPeriod, startInterval) = (check.startPeriod, check.startInterval)
    }
}
