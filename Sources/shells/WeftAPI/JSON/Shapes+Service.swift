import WeftModel
import WeftNet
import WeftText

/// Shapes services and tasks from what the manager knows.
struct ServiceShapes {
    private let networks: [NetworkID: Network]
    private let endpoints: [TaskID: [Endpoint]]
    /// What nodes say of their encrypted paths, each a sentence.
    private let nodeProblems: [NodeID: String]

    /// - Parameter nodes: whose tasks are to tell what their nodes do not reach.
    init(snapshot: ClusterSnapshot, nodes: [Node] = []) {
        let names = nodeNames(nodes)
        nodeProblems = Dictionary(nodes.map { ($0.id, pathProblems(of: $0, names)) }) { first, _ in first }.compactMapValues {
            $0.isEmpty ? nil : $0.joined(separator: "; ")
        }
        networks = Dictionary(snapshot.networks.map { ($0.id, $0) }) { first, _ in first }
        let serving = snapshot.endpoints.compactMap { endpoint in endpoint.task.map { ($0.task, endpoint) } }
        endpoints = Dictionary(grouping: serving, by: \.0).mapValues { pairs in
            pairs.map(\.1).sorted { ($0.network, $0.id) < ($1.network, $1.id) }
        }
    }

    // MARK: Services

    func json(_ service: Service, insertDefaults: Bool = false, status: ServiceTally? = nil) -> JSON {
        var members = metaJSON(service.id.rawValue, service.version, service.createdAt, service.updatedAt)
        members.add("Spec", serviceSpecJSON(service.spec, insertDefaults: insertDefaults))
        members.add("PreviousSpec", ifThere: service.previousSpec.map { serviceSpecJSON($0) })
        members.add("Endpoint", endpointJSON(service))
        members.add("UpdateStatus", ifThere: service.updateStatus.map(updateStatusJSON))
        if let status {
            members.add(
                "ServiceStatus",
                [
                    "RunningTasks": .counter(status.running), "DesiredTasks": .counter(status.desired),
                    "CompletedTasks": .counter(status.completed),
                ])
        }
        if service.mode.isJob {
            var job = Members()
            job.add("JobIteration", iterationJSON(service.jobIteration))
            job.add("LastExecution", .string(service.jobStartedAt?.rfc3339 ?? zeroTime))
            members.add("JobStatus", job.json)
        }
        return members.json
    }

    /// Empty until the service has what it is reached by; a service with neither addresses nor ports keeps it so.
    private func endpointJSON(_ service: Service) -> JSON {
        guard !service.addresses.isEmpty || !service.ports.isEmpty else { return ["Spec": [:]] }
        var members = Members()
        members.add("Spec", endpointSpecJSON(service.spec.endpoint ?? ServiceEndpointSpec()))
        let said = try? IngressLabels(service.spec.labels)
        members.add("Ports", ifSaid: service.ports.map { portJSON($0, at: said) })
        members.add("VirtualIPs", ifSaid: service.addresses.flatMap(addressesJSON))
        return members.json
    }

    /// IPv4's, and IPv6's in an entry of its own.
    private func addressesJSON(_ address: VirtualAddress) -> [JSON] {
        ([.v4(address.ipv4)] + (address.ipv6.map { [.v6($0)] } ?? [])).map { (ip: IPAddress) in
            let length = networks[address.network]?.subnet(ip.family)?.length ?? ip.width
            return ["NetworkID": .string(address.network.rawValue), "Addr": .string("\(ip)/\(length)")]
        }
    }

    private func updateStatusJSON(_ status: UpdateStatus) -> JSON {
        var members = Members()
        members.add("State", .string(status.state.rawValue))
        members.add("StartedAt", .string(status.startedAt.rfc3339))
        members.add("CompletedAt", ifThere: status.completedAt.map { .string($0.rfc3339) })
        members.add("Message", .string(status.message))
        return members.json
    }

    private func iterationJSON(_ iteration: UInt64) -> JSON { iteration == 0 ? [:] : ["Index": .counter(iteration)] }

    // MARK: Tasks

    func json(_ task: ServiceTask) -> JSON {
        var members = metaJSON(task.id.rawValue, task.version, task.createdAt, task.updatedAt)
        members.add("Labels", [:])
        members.add("Spec", taskSpecJSON(task.spec))
        members.add("ServiceID", .string(task.service.rawValue))
        members.add("Slot", ifSaid: Int64(clamping: shownSlot(task)))
        members.add("NodeID", ifSaid: task.node?.rawValue ?? "")
        members.add("Status", statusJSON(task))
        members.add("DesiredState", .string(task.desiredState.name))
        members.add("NetworksAttachments", ifSaid: (endpoints[task.id] ?? []).compactMap(attachmentJSON))
        members.add("JobIteration", ifThere: task.jobIteration.map(iterationJSON))
        return members.json
    }

    /// Swarm counts a job's slots from 0, and the docker command waits for a task in each from there.
    private func shownSlot(_ task: ServiceTask) -> UInt64 {
        task.jobIteration != nil && task.slot > 0 ? task.slot - 1 : task.slot
    }

    private func statusJSON(_ task: ServiceTask) -> JSON {
        let status = task.status
        var members = Members()
        members.add("Timestamp", .string(status.at.rfc3339))
        members.add("State", .string(status.state.name))
        members.add("Message", ifSaid: status.message)
        members.add("Err", ifSaid: status.problem ?? pathProblem(task) ?? "")
        if status.container != nil || status.exitCode != nil {
            members.add(
                "ContainerStatus",
                [
                    "ContainerID": .string(status.container ?? ""), "PID": .integer(Int64(status.pid ?? 0)),
                    "ExitCode": .integer(Int64(status.exitCode ?? 0)),
                ])
        }
        members.add("PortStatus", status.ports.isEmpty ? [:] : ["Ports": .array(status.ports.map(portJSON))])
        return members.json
    }

    /// Of a task that runs, and is not reached by all that it should be reached by.
    private func pathProblem(_ task: ServiceTask) -> String? {
        guard task.status.state == .running, let node = task.node, let problem = nodeProblems[node],
            (endpoints[task.id] ?? []).contains(where: { networks[$0.network]?.spec.isEncrypted ?? false })
        else { return nil }
        return problem
    }

    private func attachmentJSON(_ endpoint: Endpoint) -> JSON? {
        guard let network = networks[endpoint.network] else { return nil }
        return [
            "Network": objectJSON(network),
            "Addresses": .array(
                endpoint.addresses.map { .string("\($0)/\(network.subnet($0.family)?.length ?? $0.width)") }),
        ]
    }

    /// A network as swarm's own objects refer to it, which is another shape than that of `GET /networks`.
    private func objectJSON(_ network: Network) -> JSON {
        var members = metaJSON(network.id.rawValue, network.version, network.createdAt, network.updatedAt)
        var spec = Members()
        spec.add("Name", .string(network.spec.name))
        spec.add("Labels", .map(network.spec.labels))
        spec.add("DriverConfiguration", driverJSON(LogDriver(name: "overlay", options: network.spec.options)))
        spec.add("IPv6Enabled", ifTrue: network.spec.ipv6)
        spec.add("Internal", ifTrue: network.spec.isInternal)
        spec.add("Attachable", ifTrue: network.spec.attachable)
        spec.add("Ingress", ifTrue: network.spec.ingress)
        spec.add("IPAMOptions", ["Driver": ["Name": "default"]])
        spec.add("Scope", "swarm")
        members.add("Spec", spec.json)
        var options = network.spec.options
        options["com.docker.network.driver.overlay.vxlanid_list"] = network.vni.description
        members.add("DriverState", driverJSON(LogDriver(name: "overlay", options: options)))
        members.add(
            "IPAMOptions",
            [
                "Driver": ["Name": "default"],
                "Configs": .array(
                    network.subnets.map {
                        [
                            "Subnet": .string(network.subnet($0.family)?.description ?? ""),
                            "Gateway": .string(network.gateway($0.family)?.description ?? ""),
                        ]
                    }),
            ])
        return members.json
    }
}

/// How many of a service's tasks run, are wanted, and have ended well, where that counts.
struct ServiceTally: Hashable, Sendable {
    var running: UInt64 = 0
    var desired: UInt64 = 0
    var completed: UInt64 = 0

    init(of service: Service, tasks: [ServiceTask]) {
        let wanted = tasks.filter { $0.desiredState <= .complete }
        running = UInt64(wanted.count { $0.status.state == .running })
        if service.mode.isJob {
            completed = UInt64(tasks.count { $0.status.state == .complete && $0.jobIteration == service.jobIteration })
        }
        switch service.mode {
        case .replicated(let replicas): desired = replicas
        case .replicatedJob(let concurrent, _): desired = concurrent
        // One that waits for its restart is wanted all the same: else what fails everywhere would look complete.
        case .global: desired = Self.places(of: wanted.filter { $0.desiredState <= .running })
        // Those that have still to end; who prints it adds those that have.
        case .globalJob: desired = Self.places(of: wanted.filter { $0.status.state != .complete })
        }
    }

    /// Two in one place, of which one replaces the other, count as one.
    private static func places(of tasks: [ServiceTask]) -> UInt64 {
        UInt64(Set(tasks.map { "\($0.slot) \($0.node?.rawValue ?? "")" }).count)
    }
}
