package import WeftModel

/// What the API server asks of weftd: of the swarm, and of this node in it. The server shapes JSON, checks what a request
/// says by itself and knows who may ask for what (swarm verbs outside a swarm, verbs of managers on a worker); the
/// backend does the work.
///
/// A method that cannot do what it was asked throws an error that says of what kind it is (`KindedError`), with a sentence for the
/// user. Any other error becomes a 500 with that error's description.
package protocol APIBackend: Sendable {
    /// Describes the host. Called for `/info` and `/version`, in a swarm or not.
    func hostInformation() async -> HostInformation
    /// Tells whether this node is in a swarm, and as what. Called on nearly every request: waits for nobody.
    func swarmStanding() -> SwarmStanding
    /// Tells all that this node knows of its own membership.
    func swarmState() async throws(APIError) -> SwarmState

    /// Somebody has a container of the engine's started, by its id, the beginning of that, or its name; `body` does it.
    func starting<Answer: Sendable>(
        _ container: String, _ body: @Sendable () async throws -> Answer
    ) async throws -> Answer

    /// Makes this node the first manager of a new swarm, and returns its id. Called outside a swarm only.
    func swarmInit(_ request: SwarmInitRequest) async throws -> NodeID
    /// Joins a swarm, and returns once the node has its certificate. Called outside a swarm only.
    func swarmJoin(_ request: SwarmJoinRequest) async throws
    /// Leaves the swarm. `force` false on the last manager: throws `.lastManager`. Called inside a swarm only.
    func swarmLeave(force: Bool) async throws
    /// Replaces the swarm's spec and then what `rotate` names; managers only. Throws `.outOfSequence` for a stale version.
    func swarmUpdate(version: Version, spec: ClusterSpec, rotate: SwarmRotation) async throws
    /// Gives a locked manager the unlock key. Throws `.notLocked` to others, `.badUnlockKey` and `.wrongUnlockKey`.
    func swarmUnlock(_ key: Secret) async throws
    /// The swarm's events that are remembered, oldest first, and from there on those to come. Nodes that are no managers
    /// have none.
    func clusterEvents() -> (past: [ClusterEvent], live: AsyncStream<ClusterEvent>)

    /// Lists all nodes, in any order; managers only.
    func nodes() async throws -> [Node]
    /// Replaces a node's spec; managers only. Throws `.outOfSequence` for a stale version.
    func nodeUpdate(_ id: NodeID, version: Version, spec: NodeSpec) async throws
    /// Removes a node; managers only. Without `force` a node that is not down is refused with `.nodeNotDown`.
    func nodeRemove(_ id: NodeID, force: Bool) async throws

    /// Returns what this node knows of networks, endpoints and peers (itself among them), on managers and workers alike.
    /// On a manager it holds what the last successful write made, though the agent may not have been told yet.
    func clusterSnapshot() async throws -> ClusterSnapshot
    /// The snapshot's networks: asked for often, and without walking all endpoints.
    func clusterNetworks() async throws -> [Network]
    /// Makes an overlay network and returns its id; managers only. Throws `.networkExists` for a taken name.
    func networkCreate(_ spec: NetworkSpec) async throws -> NetworkID
    /// Removes a network; managers only. Throws `.networkInUse` while an endpoint is on it, on any node.
    func networkRemove(_ id: NetworkID) async throws

    /// Lists the swarm's objects of a kind by their ids; managers only, as what follows.
    func objects<Value: StoredValue>(_ type: Value.Type) async throws -> [Value]
    /// Makes a service. What no node can run, or what is not to be had now, is no error: its tasks say so.
    func serviceCreate(_ spec: ServiceSpec) async throws -> Service
    /// Replaces a service's spec; without one the spec before counts again. Throws `.outOfSequence` for a stale version.
    func serviceUpdate(_ id: ServiceID, version: Version, spec: ServiceSpec?) async throws
    func serviceRemove(_ id: ServiceID) async throws
    /// Hands over what a task wrote in its container of the moment, on whatever node, as it comes; returns at its end. Throws
    /// `LogUnavailable`, and what `take` throws.
    func readLog(of task: ServiceTask, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void) async throws
    /// Makes a secret or a config. Refuses a taken name.
    func create<File: SharedFile>(_ type: File.Type, _ spec: SharedFileSpec) async throws -> File
    /// Changes a secret's or a config's labels, the only thing of it that may change.
    func update<File: SharedFile>(_ type: File.Type, _ id: String, version: Version, _ spec: SharedFileSpec) async throws
    /// Refuses what a service refers to.
    func remove<File: SharedFile>(_ type: File.Type, _ id: String) async throws

    /// Reports the node's session, endpoints and underlay with their counters.
    func status() async throws -> NodeStatus
}

/// What the API server asks of weftd of sandboxes. Errors as `APIBackend`'s.
package protocol SandboxBackend: Sendable {
    /// Lists this node's sandboxes, running or not, in any order.
    func sandboxes() async throws -> [SandboxSummary]
    /// Those of them that a user may mean by a name, an id, or the beginning of an id; others too if that is no more work.
    func sandboxes(matching reference: String) async throws -> [SandboxSummary]
    /// Makes a sandbox with its endpoints. Its command does not run before `sandboxStart`.
    func sandboxCreate(_ request: SandboxCreateRequest) async throws -> SandboxCreated
    /// Runs the sandbox's command. On a running sandbox it does nothing.
    func sandboxStart(_ id: SandboxID) async throws
    /// Sends SIGTERM, and SIGKILL after `timeout`; returns once the sandbox has exited. On an exited one it does nothing.
    func sandboxStop(_ id: SandboxID, timeout: Duration) async throws
    /// Sends a signal, by number, to the sandbox's first process.
    func sandboxKill(_ id: SandboxID, signal: Int32) async throws
    /// Removes a sandbox and its endpoints. Without `force` a running one is refused.
    func sandboxRemove(_ id: SandboxID, force: Bool) async throws
    /// Attaches a sandbox to one more network, running or not.
    func sandboxConnect(_ id: SandboxID, _ attachment: EndpointSpec) async throws
    /// Detaches a sandbox from a network, running or not.
    func sandboxDisconnect(_ id: SandboxID, network: NetworkID) async throws
}

/// What the API server asks of weftd of interfaces in network namespaces that others made. Errors as `APIBackend`'s.
package protocol NamespaceBackend: Sendable {
    /// Lists this node's interfaces in namespaces of others', in any order.
    func namespaceAttachments() async throws -> [NamespaceAttachment]
    /// Makes an interface in a namespace that someone else made, complete when it returns. Refuses one that is there.
    func namespaceAttach(_ request: NamespaceAttachmentRequest) async throws -> NamespaceAttachment
    /// Finds such an interface, and what is wrong with it; 404 when there is none.
    func namespaceAttachment(_ sandbox: SandboxID, interface: String) async throws -> NamespaceAttachment
    /// Removes such an interface. On one that is gone it does nothing.
    func namespaceDetach(_ sandbox: SandboxID, interface: String) async throws
}

/// Which of a swarm's two join tokens.
package enum JoinTokenKind: Hashable, Sendable { case worker, manager }

extension SandboxBackend {
    package func sandboxes(matching reference: String) async throws -> [SandboxSummary] { try await sandboxes() }
}
