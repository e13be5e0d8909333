import Synchronization
import WeftAPI
import WeftModel
import WeftNet

/// A backend that keeps everything in memory: a real one in small, with versions, conflicts and refusals.
final class MemoryBackend: APIBackend, SandboxBackend, NamespaceBackend {
    struct State {
        var swarm = SwarmState.outside
        var nodes: [Node] = []
        var snapshot = ClusterSnapshot()
        var sandboxes: [SandboxSummary] = []
        var services: [Service] = []
        var tasks: [ServiceTask] = []
        var secrets: [StoredSecret] = []
        var configs: [StoredConfig] = []
        /// What every task wrote, and how it was last asked for.
        var log: [LogLine] = []
        var lastLog: LogOptions?
        /// After the lines, readings end with these, one after the other.
        var losses: [LogUnavailable] = []
        var revision: Int64 = 10
        var serial: UInt32 = 1
        var signals: [Int32] = []
        var stopTimeouts: [Duration] = []
        var lastInit: SwarmInitRequest?
        var lastJoin: SwarmJoinRequest?
        var lastRotation: SwarmRotation?
        var unlockKey = ""
        var pastEvents: [ClusterEvent] = []
        var events: AsyncStream<ClusterEvent>.Continuation?
        var lastCreate: SandboxCreateRequest?
        var attachments: [NamespaceAttachment] = []
        var lastAttachment: NamespaceAttachmentRequest?
        /// Containers that were started, as they were called.
        var started: [String] = []
        /// How often the removal of a network finds tasks that are about to end.
        var endings = 0
        /// What it knows cannot be read for now.
        var isBusy = false
    }

    struct Ending: KindedError {
        var errorKind: ErrorKind { .ending }
        var description: String { "network is in use by task t1" }
    }

    struct Busy: KindedError {
        var errorKind: ErrorKind { .unavailable }
        var description: String { "busy; try again" }
    }

    /// Reads what the agent or the manager would have to answer for.
    private func known<Value: Sendable>(_ body: (State) -> Value) throws -> Value {
        let value = read { state in state.isBusy ? nil : body(state) }
        guard let value else { throw Busy() }
        return value
    }

    static let epoch = Instant(nanoseconds: 1_795_254_443_122_615_443)
    private let state = Mutex(State())

    func read<Value, Failure>(_ body: (inout sending State) throws(Failure) -> sending Value) throws(Failure) -> Value {
        try state.withLock { state throws(Failure) in try body(&state) }
    }

    func hostInformation() -> HostInformation {
        HostInformation(
            description: Self.description("host1"), operatingSystem: "Debian GNU/Linux 12 (bookworm)",
            operatingSystemVersion: "12", kernelVersion: "6.18.0", stateDirectory: "/var/lib/weft")
    }

    static func description(_ hostname: String) -> NodeDescription {
        NodeDescription(
            hostname: hostname, architecture: "x86_64", nanoCPUs: 2_000_000_000, memoryBytes: 25_276_514_304,
            weftVersion: "0.1.0")
    }

    func starting<Answer: Sendable>(
        _ container: String, _ body: @Sendable () async throws -> Answer
    ) async throws -> Answer {
        read { $0.started.append(container) }
        return try await body()
    }

    func swarmStanding() -> SwarmStanding { read { $0.swarm.standing } }

    func swarmState() throws(APIError) -> SwarmState {
        do { return try known { $0.swarm } } catch { throw APIError(of: error) }
    }

    func swarmInit(_ request: SwarmInitRequest) throws -> NodeID {
        let address = IPv4Address(rawValue: 0xac1e_0001)
        let id = NodeID("ilvid9zat14ivlex8yuy7qccv")
        return read { state in
            state.lastInit = request
            state.swarm = SwarmState(membership: .active)
            state.swarm.nodeID = id
            state.swarm.nodeAddress = address
            state.swarm.isManager = true
            state.swarm.leader = id
            state.swarm.managers = [ManagerAddress(node: id, address: "\(address):2377")]
            state.swarm.joinTokens = JoinTokens(worker: Secret("SWMTKN-1-aa-ww"), manager: Secret("SWMTKN-1-aa-mm"))
            state.swarm.trust = TrustInformation(
                rootsPEM: "-----BEGIN CERTIFICATE-----\n", issuer: CertificateIssuer(subject: [1, 2, 3], publicKey: [4]))
            state.swarm.cluster = Cluster(
                id: ClusterID("wa0bmewb8nv51ri0clmfj7nxv"), version: Version(10), createdAt: Self.epoch,
                spec: request.spec, rootCertificatePEM: "", workerTokenSecret: Secret("ww"),
                managerTokenSecret: Secret("mm"))
            state.nodes = [Self.node(id, "host1", role: .manager, address: address)]
            state.snapshot.peers = [
                Peer(
                    id: id, hostname: "host1", state: .ready, dataPathAddress: address,
                    managerAddress: "\(address):2377")
            ]
            return id
        }
    }

    private static func node(_ id: NodeID, _ hostname: String, role: NodeRole, address: IPv4Address) -> Node {
        var node = Node(id: id, version: Version(9), createdAt: epoch, spec: NodeSpec(role: role))
        node.description = description(hostname)
        node.state = .ready
        node.address = address
        node.dataPathAddress = address
        if role == .manager { node.managerAddress = "\(address):2377" }
        return node
    }

    /// Adds a second node, a worker, with an endpoint on every network there is.
    func addWorker() {
        let address = IPv4Address(rawValue: 0xac1e_0002)
        let id = NodeID("zzvid9zat14ivlex8yuy7qccv")
        read { state in
            state.nodes.append(Self.node(id, "host2", role: .worker, address: address))
            state.snapshot.peers.append(
                Peer(id: id, hostname: "host2", state: .ready, dataPathAddress: address, managerAddress: nil))
            for network in state.snapshot.networks {
                let address = IPv4Address(rawValue: network.subnet.network.rawValue + 9)
                state.snapshot.endpoints.append(
                    Endpoint(
                        id: EndpointID("remote-\(network.spec.name)"), network: network.id, node: id,
                        sandbox: SandboxID("remote"), ipv4: address, mac: MACAddress(forIPv4: address), name: "b1"))
            }
        }
    }

    /// Makes this node a worker, as seen by itself.
    func becomeWorker() {
        read {
            $0.swarm.isManager = false
            $0.swarm.cluster = nil
            $0.swarm.joinTokens = nil
        }
    }

    func swarmJoin(_ request: SwarmJoinRequest) throws {
        read {
            $0.lastJoin = request
            $0.swarm = SwarmState(membership: .active)
            $0.swarm.nodeID = NodeID("joined")
        }
    }

    func swarmLeave(force: Bool) throws {
        let isManager = read { $0.swarm.isManager }
        if isManager, !force { throw APIError.lastManager }
        read { $0 = State() }
    }

    func swarmUpdate(version: Version, spec: ClusterSpec, rotate: SwarmRotation) throws {
        let isCurrent = read { state in
            guard state.swarm.cluster?.version == version else { return false }
            state.revision += 1
            state.swarm.cluster?.spec = spec
            state.lastRotation = rotate
            state.swarm.cluster?.version = Version(state.revision)
            let old = state.swarm.joinTokens
            state.swarm.joinTokens = JoinTokens(
                worker: rotate.tokens.contains(.worker) ? Secret("SWMTKN-1-aa-w2") : old?.worker ?? Secret(""),
                manager: rotate.tokens.contains(.manager) ? Secret("SWMTKN-1-aa-m2") : old?.manager ?? Secret(""))
            return true
        }
        if !isCurrent { throw APIError.outOfSequence }
    }

    /// Locks this manager with a key, as a restart does.
    func lock(with key: String) {
        read {
            $0.swarm.membership = .locked
            $0.unlockKey = key
        }
    }

    func swarmUnlock(_ key: Secret) throws {
        try read { state in
            guard key.exposed == state.unlockKey else { throw APIError.wrongUnlockKey }
            state.swarm.membership = .active
        }
    }

    func clusterEvents() -> (past: [ClusterEvent], live: AsyncStream<ClusterEvent>) {
        read { state in
            let (live, continuation) = AsyncStream<ClusterEvent>.makeStream()
            state.events = continuation
            return (state.pastEvents, live)
        }
    }

    func nodes() throws -> [Node] { try known { $0.nodes } }

    func nodeUpdate(_ id: NodeID, version: Version, spec: NodeSpec) throws {
        let isCurrent = read { state in
            guard let index = state.nodes.firstIndex(where: { $0.id == id && $0.version == version }) else {
                return false
            }
            state.revision += 1
            state.nodes[index].spec = spec
            state.nodes[index].version = Version(state.revision)
            return true
        }
        if !isCurrent { throw APIError.outOfSequence }
    }

    func nodeRemove(_ id: NodeID, force: Bool) throws {
        let isDown = read { $0.nodes.first { $0.id == id }?.state == .down }
        guard force || isDown else { throw APIError.nodeNotDown(id) }
        read { $0.nodes.removeAll { $0.id == id } }
    }

    func clusterSnapshot() throws -> ClusterSnapshot { try known { $0.snapshot } }
    func clusterNetworks() throws -> [Network] { try known { $0.snapshot.networks } }

    func networkCreate(_ spec: NetworkSpec) throws -> NetworkID {
        let id: NetworkID? = read { state in
            guard !state.snapshot.networks.contains(where: { $0.spec.name == spec.name }) else { return nil }
            state.serial += 1
            let serial = state.serial
            guard let vni = VNI(4095 + serial),
                let subnet = spec.ipam.subnet ?? IPv4Prefix("10.0.\(serial).0/24")
            else { return nil }
            let subnet6 = spec.ipam6.flatMap { $0.subnet ?? IPv6Prefix("fd00:0:0:\(serial)::/64") }
            let id = NetworkID("net\(serial)4dgis952rg9d3ke5pj2w9t")
            state.snapshot.networks.append(
                Network(
                    id: id, version: Version(11), createdAt: Self.epoch, spec: spec, vni: vni, subnet: subnet,
                    gateway: spec.ipam.gateway ?? subnet.hosts.lowerBound,
                    subnet6: subnet6, gateway6: spec.ipam6?.gateway ?? subnet6?.hosts.lowerBound))
            return id
        }
        guard let id else { throw APIError.networkExists(spec.name) }
        return id
    }

    func networkRemove(_ id: NetworkID) throws {
        let isEnding = read { state in
            state.endings -= 1
            return state.endings >= 0
        }
        if isEnding { throw Ending() }
        if let user = read({ $0.snapshot.endpoints.first { $0.network == id } }) {
            throw APIError.networkInUse(id, by: user.id.rawValue)
        }
        read { $0.snapshot.networks.removeAll { $0.id == id } }
    }

    func sandboxes() throws -> [SandboxSummary] { try known { $0.sandboxes } }

    func sandboxCreate(_ request: SandboxCreateRequest) throws -> SandboxCreated {
        if let name = request.name, let other = read({ $0.sandboxes.first { $0.name == name } }) {
            throw APIError.sandboxExists(name, id: other.id)
        }
        let sandbox = read { state in
            state.lastCreate = request
            state.serial += 1
            let id = SandboxID("5a\(state.serial)b0xbox")
            let sandbox = SandboxSummary(
                id: id, name: request.name ?? id.rawValue, hostname: request.hostname ?? id.rawValue,
                command: request.command, createdAt: Self.epoch + .seconds(Int(state.serial)), state: .created,
                socket: "/run/weft/\(id)/shim.sock", directory: "/run/weft/\(id)")
            state.sandboxes.append(sandbox)
            return sandbox
        }
        for network in request.networks { try sandboxConnect(sandbox.id, network) }
        return SandboxCreated(
            id: sandbox.id, name: sandbox.name, socket: sandbox.socket, directory: sandbox.directory)
    }

    func sandboxStart(_ id: SandboxID) throws {
        change(id) {
            $0.state = .running
            $0.pid = 4242
            $0.startedAt = Self.epoch
        }
    }

    func sandboxStop(_ id: SandboxID, timeout: Duration) throws {
        read { $0.stopTimeouts.append(timeout) }
        change(id) {
            $0.state = .exited
            $0.pid = 0
        }
    }

    func sandboxKill(_ id: SandboxID, signal: Int32) throws { read { $0.signals.append(signal) } }

    func sandboxRemove(_ id: SandboxID, force: Bool) throws {
        read { state in
            state.sandboxes.removeAll { $0.id == id }
            state.snapshot.endpoints.removeAll { $0.sandbox == id }
        }
    }

    func sandboxConnect(_ id: SandboxID, _ attachment: EndpointSpec) throws {
        read { state in
            guard let network = state.snapshot.networks.first(where: { $0.id == attachment.network }),
                let index = state.sandboxes.firstIndex(where: { $0.id == id })
            else { return }
            state.serial += 1
            let address = attachment.ipv4 ?? IPv4Address(rawValue: network.subnet.network.rawValue + state.serial)
            let endpoint = Endpoint(
                id: EndpointID("ep\(state.serial)"), network: network.id, node: state.swarm.nodeID ?? NodeID(""),
                sandbox: id, ipv4: address,
                ipv6: attachment.ipv6 ?? network.subnet6?.network.advanced(by: state.serial), mac: MACAddress(forIPv4: address),
                name: state.sandboxes[index].name,
                aliases: attachment.aliases)
            state.snapshot.endpoints.append(endpoint)
            state.sandboxes[index].endpoints.append(EndpointSummary(endpoint, on: network))
        }
    }

    func sandboxDisconnect(_ id: SandboxID, network: NetworkID) throws {
        read { $0.snapshot.endpoints.removeAll { $0.sandbox == id && $0.network == network } }
        change(id) { $0.endpoints.removeAll { $0.endpoint.network == network } }
    }

    private func change(_ id: SandboxID, _ body: (inout SandboxSummary) -> Void) {
        read { state in
            if let index = state.sandboxes.firstIndex(where: { $0.id == id }) { body(&state.sandboxes[index]) }
        }
    }

    func namespaceAttachments() -> [NamespaceAttachment] { read { $0.attachments } }

    func namespaceAttach(_ request: NamespaceAttachmentRequest) throws -> NamespaceAttachment {
        let made: NamespaceAttachment? = read { state in
            state.lastAttachment = request
            guard let network = state.snapshot.networks.first(where: { $0.id == request.interface.endpoint.network }) else { return nil }
            let address = request.interface.endpoint.ipv4 ?? IPv4Address(rawValue: network.subnet.network.rawValue + 5)
            var made = NamespaceAttachment(
                sandbox: request.sandbox, interface: request.interface.interface, namespacePath: request.namespacePath,
                network: request.interface.endpoint.network, owner: request.interface.owner)
            made.nameserver = IPv4Address(rawValue: 0xa9fe_4d35)
            made.endpoint = EndpointSummary(
                Endpoint(
                    id: EndpointID("ep1"), network: network.id, node: state.swarm.nodeID ?? NodeID(""),
                    sandbox: request.sandbox, ipv4: address, ipv6: request.interface.endpoint.ipv6,
                    mac: request.interface.endpoint.mac ?? MACAddress(forIPv4: address),
                    name: request.interface.endpoint.name, aliases: request.interface.endpoint.aliases),
                on: network)
            made.hasDefaultRoute = request.interface.takesDefaultRoute
            made.hostInterface = "wv00000001"
            state.attachments.append(made)
            return made
        }
        guard let made else { throw APIError.networkNotFound(request.interface.endpoint.network.rawValue) }
        return made
    }

    func namespaceAttachment(_ sandbox: SandboxID, interface: String) throws -> NamespaceAttachment {
        guard let found = read({ $0.attachments.first { $0.sandbox == sandbox && $0.interface == interface } }) else {
            throw APIError.notFound("container \(sandbox) has no interface \(interface) of Weft's")
        }
        return found
    }

    func namespaceDetach(_ sandbox: SandboxID, interface: String) {
        read { $0.attachments.removeAll { $0.sandbox == sandbox && $0.interface == interface } }
    }

    func status() throws -> NodeStatus {
        let state = read { $0 }
        var status = NodeStatus()
        status.nodeID = state.swarm.nodeID
        status.session = NodeStatus.Session(
            isConnected: true, manager: "172.30.0.1:2377", appliedRevision: Version(state.revision))
        status.endpoints = state.snapshot.endpoints.map {
            var counters = NodeStatus.EndpointCounters(
                id: $0.id, name: $0.name, network: "my_net", ipv4: $0.ipv4, interface: "wv00000001")
            counters.sentPackets = 3
            counters.drops = ["NO_ENDPOINT": 2, "FORGED_SOURCE": 1]
            return counters
        }
        status.underlay = NodeStatus.Underlay(
            interface: "eth0", address: IPv4Address(rawValue: 0xac1e_0001), mtu: .ethernet, port: 4789, attachment: "tc",
            socketsProblem: "no cgroup2")
        status.peers = state.snapshot.peers
        return status
    }
}
