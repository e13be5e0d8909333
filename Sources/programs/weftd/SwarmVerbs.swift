import NIOPosix
import WeftAPI
import WeftAgent
import WeftBPF
import WeftControl
import WeftDatapath
import WeftIdentity
import WeftKernel
import WeftKeys
import WeftLinux
import WeftManager
import WeftMembership
import WeftModel
import WeftNet
import WeftNode
import WeftWire

/// What the API asks for of swarm, nodes and networks.
struct SwarmVerbs: APIBackend {
    let settings: Settings
    let membership: NodeMembership<Member>
    let lifecycle: NodeLifecycle<WeftParts, Workloads>
    let tasks: TaskKeeper
    let eventLog: ClusterEventLog
    let upkeep: EngineUpkeep
    let starts: ContainerStarts
    let threads: NIOThreadPool
    private var member: Member? { membership.member }

    func hostInformation() async -> HostInformation { Host.information(stateDirectory: settings.stateDirectory) }

    func swarmStanding() -> SwarmStanding { Self.standing(membership.standing) }

    private static func standing(_ standing: NodeMembership<Member>.Standing) -> SwarmStanding {
        guard let member = standing.member else {
            guard standing.failure == nil else { return SwarmStanding(membership: .error) }
            return SwarmStanding(membership: standing.isChanging ? .pending : .inactive)
        }
        let isBroken = member.sessionState.isRefused || standing.failure != nil
        return SwarmStanding(
            membership: standing.isLocked ? .locked : isBroken ? .error : .active, nodeID: member.node,
            isManager: member.role != nil)
    }

    func swarmState() async throws(APIError) -> SwarmState {
        let standing = membership.standing
        var state = SwarmState(Self.standing(standing))
        guard let member = standing.member else {
            state.error = standing.failure ?? ""
            return state
        }
        state.error =
            standing.isLocked ? APIError.swarmLocked.message : standing.failure ?? member.sessionState.problem
        do { try await describe(member, in: &state) } catch { throw APIError(of: error) }
        return state
    }

    private func describe(_ member: Member, in state: inout SwarmState) async throws {
        state.nodeAddress = member.membership.advertiseAddress
        state.trust = try member.credentials?.identity.trust
        guard let role = member.role else {
            state.managers = try await member.agent.read { $0.peers }.compactMap { peer in
                peer.managerAddress.map { ManagerAddress(node: peer.id, address: $0) }
            }
            state.leader = state.managers.first?.node
            return
        }
        state.managers = [
            ManagerAddress(
                node: member.node, address: "\(member.membership.advertiseAddress):\(member.membership.advertisePort)")
        ]
        state.leader = member.node
        guard let cluster = try await role.manager.read({ $0.cluster }) else { return }
        state.cluster = cluster
        let root = cluster.rootCertificatePEM
        // As a node has it that is done with a rotation: so clients tell who is not.
        state.trust = TrustInformation(
            rootsPEM: cluster.trustRoots(for: .worker),
            issuer: try cluster.rootRotation?.issuer ?? CertificateIssuer(rootCertificatePEM: root))
        let digest = try CertificateAuthority.digest(ofRootPEM: root)
        state.joinTokens = JoinTokens(
            worker: Secret(JoinToken(rootDigest: digest, secret: cluster.workerTokenSecret).exposed),
            manager: Secret(JoinToken(rootDigest: digest, secret: cluster.managerTokenSecret).exposed))
    }

    func swarmInit(_ request: SwarmInitRequest) async throws -> NodeID {
        let node = try await lifecycle.initialise(request)
        await upkeep.prepare()
        await member?.role?.awaitHello(of: node)
        return node
    }

    func swarmJoin(_ request: SwarmJoinRequest) async throws {
        try await lifecycle.join(request)
        await upkeep.prepare()
    }

    func swarmLeave(force: Bool) async throws {
        try await lifecycle.leave(force: force)
        await upkeep.forgetNetworks()
    }

    func swarmUpdate(version: Version, spec: ClusterSpec, rotate: SwarmRotation) async throws {
        guard let role = member?.role else { throw APIError.notAManagerOnWorker }
        try await role.update(version: version, spec: spec, rotate: rotate)
    }

    func swarmUnlock(_ key: Secret) async throws { try await lifecycle.unlock(with: key) }

    func clusterEvents() -> (past: [ClusterEvent], live: AsyncStream<ClusterEvent>) { eventLog.follow() }

    func starting<Answer: Sendable>(
        _ container: String, _ body: @Sendable () async throws -> Answer
    ) async throws -> Answer {
        try await starts.during(container, body)
    }

    func nodes() async throws -> [Node] { try await control { $0.nodes } }

    func nodeUpdate(_ id: NodeID, version: Version, spec: NodeSpec) async throws {
        _ = try await command(.updateNode(id, version: version, spec))
    }

    func nodeRemove(_ id: NodeID, force: Bool) async throws { _ = try await command(.removeNode(id, force: force)) }

    func clusterSnapshot() async throws -> ClusterSnapshot {
        try await member?.snapshot() ?? ClusterSnapshot()
    }

    func clusterNetworks() async throws -> [Network] { try await member?.networks ?? [] }

    func networkCreate(_ spec: NetworkSpec) async throws -> NetworkID {
        // What the node reports of itself comes late for a route that was made just now, or while weftd did not run.
        if let member, let routes = try? HostInterfaces.read().routedPrefixes {
            _ = try await command(.noteRoutes(member.node, NodeDescription.reported(routes: routes)))
        }
        guard case .network(let network) = try await command(.createNetwork(spec)) else {
            throw Self.unexpected("a network")
        }
        return network.id
    }

    func networkRemove(_ id: NetworkID) async throws { _ = try await command(.removeNetwork(id.rawValue)) }

    func objects<Value: StoredValue>(_ type: Value.Type) async throws -> [Value] { try await control { $0.all(type) } }

    func serviceCreate(_ spec: ServiceSpec) async throws -> Service {
        guard case .service(let service) = try await command(.createService(spec)) else { throw Self.unexpected("a service") }
        return service
    }

    func serviceUpdate(_ id: ServiceID, version: Version, spec: ServiceSpec?) async throws {
        _ = try await command(.updateService(id, version: version, spec))
    }

    func serviceRemove(_ id: ServiceID) async throws { _ = try await command(.removeService(id)) }

    func readLog(of task: ServiceTask, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void) async throws {
        guard let member, let role = member.role else { throw APIError.notAManagerOnWorker }
        guard task.node == member.node else { return try await role.logs.read(task, options, take) }
        try await tasks.readLog(of: task.id, container: task.status.container ?? "", options, take)
    }

    func create<File: SharedFile>(_ type: File.Type, _ spec: SharedFileSpec) async throws -> File {
        let isSecret = type == StoredSecret.self
        let made: (any SharedFile)? =
            switch try await command(isSecret ? .createSecret(spec) : .createConfig(spec)) {
            case .secret(let secret): secret
            case .config(let config): config
            case .network, .node, .cluster, .service: nil
            }
        guard let file = made as? File else { throw Self.unexpected("a \(File.kind)") }
        return file
    }

    func update<File: SharedFile>(
        _ type: File.Type, _ id: String, version: Version, _ spec: SharedFileSpec
    ) async throws {
        let isSecret = type == StoredSecret.self
        _ = try await command(isSecret ? .updateSecret(id, version: version, spec) : .updateConfig(id, version: version, spec))
    }

    func remove<File: SharedFile>(_ type: File.Type, _ id: String) async throws {
        _ = try await command(type == StoredSecret.self ? .removeSecret(id) : .removeConfig(id))
    }

    private static func unexpected(_ what: String) -> APIError { APIError(500, "the manager answered something else than \(what)") }

    private func control<Value: Sendable>(_ body: @escaping @Sendable (Replica) -> Value) async throws -> Value {
        guard let role = member?.role else { throw APIError.notAManagerOnWorker }
        return try await role.manager.read(body)
    }

    private func command(_ command: ControlCommand) async throws -> ControlReply {
        guard let role = member?.role else { throw APIError.notAManagerOnWorker }
        return try await role.manager.perform(command)
    }

    func status() async throws -> NodeStatus {
        var status = NodeStatus()
        let standing = membership.standing
        status.problem = standing.failure ?? ""
        guard let member = standing.member else { return status }
        let (endpoints, networks, peers, revision, refusals) = try await member.agent.read { machine in
            let endpoints = machine.ownEndpoints
            let refusals = endpoints.compactMap { endpoint in machine.refusal(of: endpoint.id).map { (endpoint.id, $0) } }
            return (endpoints, machine.networks, machine.peers, machine.appliedRevision, Dictionary(uniqueKeysWithValues: refusals))
        }
        let kernel = member.kernel
        let counters = try await threads.runIfActive { try kernel.counters() }
        let session = member.sessionState
        status.nodeID = member.node
        status.session = .init(
            isConnected: session.isConnected, manager: session.manager, appliedRevision: revision,
            problem: session.problem)
        status.peers = peers
        status.encryption = await member.keeper?.standing()
        let names = Dictionary(networks.map { ($0.id, $0.spec.name) }, uniquingKeysWith: { first, _ in first })
        status.endpoints = endpoints.map { endpoint in
            var entry = NodeStatus.EndpointCounters(
                id: endpoint.id, name: endpoint.name, network: names[endpoint.network] ?? endpoint.network.rawValue,
                ipv4: endpoint.ipv4, ipv6: endpoint.ipv6, interface: hostInterfaceName(endpoint.id))
            entry.problem = refusals[endpoint.id] ?? ""
            if let counted = counters[endpoint.id] {
                entry.sentPackets = counted.sentPackets
                entry.sentBytes = counted.sentBytes
                entry.receivedPackets = counted.receivedPackets
                entry.receivedBytes = counted.receivedBytes
                entry.drops = Self.drops(counted)
            }
            return entry
        }
        let address = member.membership.dataPathAddress
        let interface = try HostInterfaces.read().link(with: address)?.name ?? ""
        let (port, mtu) = member.reconciler.underlay
        status.underlay = .init(
            interface: interface, address: address, mtu: mtu, port: port, attachment: member.kernel.attachment.rawValue,
            socketsProblem: member.kernel.socketsProblem ?? "")
        status.underlay?.portProblems = member.kernel.portConflicts.values.sorted()
        status.underlay?.drops = counters[nil].map(Self.drops) ?? [:]
        return status
    }

    private static func drops(_ counters: EndpointCounters) -> [String: UInt64] {
        Dictionary(uniqueKeysWithValues: counters.dropped.map { ("\($0.key)", $0.value) })
    }
}
