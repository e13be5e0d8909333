import WeftModel
import WeftNet

/// What a service's spec must be like, whatever else is in the swarm. Sentences are swarm's, where it has one.
enum ServiceRules {
    static func check(_ spec: ServiceSpec) throws(ControlError) {
        try checkName(spec.name)
        guard Bounds.bytes(spec.labels) <= Bounds.specBytes else { throw .tooLarge("service") }
        try checkMode(spec)
        try check(spec.task)
        try PortRules.check(spec.endpoint)
        try PortRules.checkLabels(of: spec)
    }

    private static func checkName(_ name: String) throws(ControlError) {
        guard !name.isEmpty else { throw .invalidArgument("meta: name must be provided") }
        guard name.utf8.count <= 63 else { throw .invalidArgument("name must be 63 characters or fewer") }
        guard Bounds.isName(name) else { throw .invalidArgument("name must be valid as a DNS name component") }
    }

    private static func checkMode(_ spec: ServiceSpec) throws(ControlError) {
        guard spec.mode.isJob else {
            try check(spec.update)
            return try check(spec.rollback)
        }
        guard spec.update == nil, spec.rollback == nil else {
            throw .invalidArgument("update and rollback configuration is not supported for jobs")
        }
        guard spec.task.restart?.condition != .any || spec.task.restart == nil else {
            throw .invalidArgument("restart condition \"any\" is not allowed for jobs: they end when they are done")
        }
    }

    private static func check(_ update: UpdateConfig?) throws(ControlError) {
        guard let update else { return }
        guard update.delay >= 0 else { throw .invalidArgument("TaskSpec: update-delay cannot be negative") }
        guard update.monitor >= 0 else { throw .invalidArgument("TaskSpec: update-monitor cannot be negative") }
        guard (0...1).contains(update.maxFailureRatio) else {
            throw .invalidArgument("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
        }
    }

    private static func check(_ task: TaskSpec) throws(ControlError) {
        for amounts in [task.reservations, task.limits] { try check(amounts) }
        if let restart = task.restart {
            guard restart.delay >= 0 else { throw .invalidArgument("TaskSpec: restart-delay cannot be negative") }
            guard restart.window >= 0 else { throw .invalidArgument("TaskSpec: restart-window cannot be negative") }
        }
        for constraint in task.placement.constraints { _ = try Constraint(constraint) }
        try check(task.container, task.runtime)
    }

    private static func check(_ amounts: ResourceAmounts) throws(ControlError) {
        guard amounts.nanoCPUs == 0 || amounts.nanoCPUs >= 1_000_000 else {
            throw .invalidArgument("invalid cpu value \(Double(amounts.nanoCPUs) / 1e9): Must be at least 0.001")
        }
        guard amounts.memoryBytes == 0 || amounts.memoryBytes >= 4 << 20 else {
            throw .invalidArgument("invalid memory value \(amounts.memoryBytes): Must be at least 4MiB")
        }
        guard amounts.pids >= 0 else { throw .invalidArgument("invalid pids value \(amounts.pids): it cannot be negative") }
    }

    private static func check(_ container: ContainerSpec, _ runtime: TaskSpec.Runtime) throws(ControlError) {
        if runtime == .container, container.image.isEmpty {
            throw .invalidArgument("ContainerSpec: image reference must be provided")
        }
        var targets: Set<String> = []
        for mount in container.mounts where !targets.insert(mount.target).inserted {
            throw .invalidArgument("ContainerSpec: duplicate mount point: \(mount.target)")
        }
        if let check = container.healthcheck {
            for (name, time) in [("Interval", check.interval), ("Timeout", check.timeout), ("StartPeriod", check.startPeriod)]
            where time != 0 && time < 1_000_000 {
                throw .invalidArgument("ContainerSpec: \(name) in HealthConfig cannot be less than 1ms")
            }
            guard check.retries >= 0 else { throw .invalidArgument("ContainerSpec: Retries in HealthConfig cannot be negative") }
        }
        guard container.stopGracePeriod ?? 0 >= 0 else { throw .invalidArgument("ContainerSpec: stop-grace-period cannot be negative") }
        try checkTargets(container.secrets, "secret")
        try checkTargets(container.configs, "config")
        guard let credentials = container.registryCredentials else { return }
        guard runtime == .container else {
            throw .invalidArgument("a sandbox has no image that credentials for a registry would be for: leave out --with-registry-auth")
        }
        guard credentials.exposed.utf8.count <= ContainerSpec.maxCredentialsBytes else {
            throw .invalidArgument(
                "the credentials for the registry are larger than \(ContainerSpec.maxCredentialsBytes) bytes")
        }
    }

    private static func checkTargets(_ references: [ContainerSpec.FileReference], _ what: String) throws(ControlError) {
        var targets: [String: String] = [:]
        for reference in references {
            guard !reference.id.isEmpty, !reference.name.isEmpty else { throw .invalidArgument("malformed \(what) reference") }
            guard let target = reference.target else { continue }
            if let other = targets.updateValue(reference.name, forKey: target) {
                throw .invalidArgument(
                    "\(what) references '\(other)' and '\(reference.name)' have a conflicting target: '\(target)'")
            }
        }
    }
}

/// Published ports.
enum PortRules {
    static func check(_ endpoint: ServiceEndpointSpec?) throws(ControlError) {
        guard let endpoint else { return }
        if endpoint.mode == .dnsrr, endpoint.ports.contains(where: { $0.mode == .ingress }) {
            throw .invalidArgument("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        }
        var seen: Set<PortNumber> = []
        for port in endpoint.ports {
            guard port.target > 0 else { throw .invalidArgument("EndpointSpec: a port's target is 1 to 65535") }
            // Its checksum covers the ports and cannot be brought up to date: the packet keeps its own.
            if port.mode == .ingress, port.transport == .sctp, port.published != port.target {
                throw .invalidArgument(
                    "EndpointSpec: a port of SCTP is published at every node under its own number alone: "
                        + "-p \(port.target):\(port.target)/sctp")
            }
            if let number = port.number, !seen.insert(number).inserted {
                throw .invalidArgument("EndpointSpec: duplicate published ports provided")
            }
        }
    }

    /// What labels say of published ports must be of ports that there are: of one that is misspelt the service's own would be open to all.
    static func checkLabels(of spec: ServiceSpec) throws(ControlError) {
        let said: IngressLabels
        do throws(IngressLabelError) { said = try IngressLabels(spec.labels) } catch { throw .invalidArgument(error.description) }
        let published = (spec.endpoint?.ports ?? []).filter { $0.mode == .ingress }.compactMap(\.number)
        for place in said.places {
            guard let port = place.port else { continue }
            let isThere = published.contains { $0.number == port && place.transport ?? $0.transport == $0.transport }
            guard isThere else {
                throw .invalidArgument(
                    "the label \(IngressLabels.addressesKey) has an address for port \(port), which the service does not publish at every "
                        + "node: take it out of the label, or publish the port")
            }
        }
    }

    /// Refuses what another service has, or asks for. At one node alone several may ask for the same: there the scheduler keeps them apart.
    static func checkConflicts(_ spec: ServiceSpec, of own: ServiceID?, in round: Round) throws(ControlError) {
        let found = round.tables.found
        for port in spec.endpoint?.ports ?? [] {
            guard let number = port.number else { continue }
            func refuse(_ holders: Set<ServiceID>?, _ mode: PortConfig.Mode) throws(ControlError) {
                for id in (holders ?? []).sorted() where id != own {
                    guard let holder = round.tables.services[id] else { continue }
                    if port.mode == .ingress, mode == .ingress, !meet(spec, holder.spec, at: number) { continue }
                    throw .invalidArgument(taken(number, by: holder, as: mode))
                }
            }
            try refuse(found.ingressPorts[number], .ingress)
            if port.mode == .ingress { try refuse(found.hostPorts[number], .host) }
        }
    }

    /// Whether a service's ports, or where they are published, are to be others.
    static func differ(_ one: ServiceSpec, _ other: ServiceSpec) -> Bool {
        one.endpoint != other.endpoint || one.labels[IngressLabels.addressesKey] != other.labels[IngressLabels.addressesKey]
    }

    /// Whether two services that publish one port at every node do so at one address.
    static func meet(_ one: ServiceSpec, _ other: ServiceSpec, at number: PortNumber) -> Bool {
        guard let mine = one.addresses(of: number), let others = other.addresses(of: number) else { return true }
        return mine.isEmpty || others.isEmpty || !mine.isDisjoint(with: others)
    }

    static func taken(_ number: PortNumber, by holder: Service, as mode: PortConfig.Mode) -> String {
        "port '\(number.number)' is already in use by service '\(holder.spec.name)' (\(holder.id)) as "
            + (mode == .ingress ? "an ingress port" : "a host-published port")
    }
}

extension ServiceSpec {
    /// Where it publishes a port; empty: at all addresses of a host. Nil: what its labels say cannot be read.
    fileprivate func addresses(of number: PortNumber) -> Set<IPAddress>? {
        try? IngressLabels(labels).addresses(of: number.number, number.transport)
    }
}
