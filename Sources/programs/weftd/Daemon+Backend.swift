import WeftAPI
import WeftAgent
import WeftControl
import WeftIdentity
import WeftKernel
import WeftLinux
import WeftManager
import WeftModel
import WeftNet
import WeftNode
import WeftSandbox

/// What the API asks for. Errors of the parts become the API's here.
extension Daemon: APIBackend {
    func hostInformation() async -> HostInformation { Host.information(stateDirectory: settings.stateDirectory) }

    func swarmState() async -> SwarmState {
        guard let member else {
            guard let startFailure else { return isChanging ? SwarmState(membership: .pending) : .outside }
            var state = SwarmState(membership: .error)
            state.error = startFailure
            return state
        }
        let session = member.sessionState
        let isBroken = session.isRefused || startFailure != nil
        var state = SwarmState(membership: isLocked ? .locked : isBroken ? .error : .active)
        state.error = isLocked ? APIError.swarmLocked.message : startFailure ?? session.problem
        state.nodeID = member.node
        state.nodeAddress = member.membership.advertiseAddress
        state.isManager = member.role != nil
        let peers = (try? await member.agent.read { $0.peers }) ?? []
        state.managers = peers.compactMap { peer in
            peer.managerAddress.map { ManagerAddress(node: peer.id, address: $0) }
        }
        state.leader = state.isManager ? member.node : state.managers.first?.node
        state.trust = (try? member.credentials?.identity.trust) ?? nil
        if let role = member.role, let cluster = try? await role.manager.read({ $0.cluster }) {
            state.cluster = cluster
            if let issuer = try? cluster.rootRotation?.issuer ?? CertificateIssuer(rootCertificatePEM: cluster.rootCertificatePEM) {
                // As a node has it that is done with a rotation: so clients tell who is not.
                state.trust = TrustInformation(rootsPEM: cluster.trustRoots(for: .worker), issuer: issuer)
            }
            if let digest = try? CertificateAuthority.digest(ofRootPEM: cluster.rootCertificatePEM) {
                state.joinTokens = JoinTokens(
                    worker: Secret(JoinToken(rootDigest: digest, secret: cluster.workerTokenSecret).exposed),
                    manager: Secret(JoinToken(rootDigest: digest, secret: cluster.managerTokenSecret).exposed))
            }
            state.managers = [
                ManagerAddress(node: member.node, address: "\(member.membership.advertiseAddress):\(member.membership.advertisePort)")
            ]
        }
        return state
    }

    func swarmInit(_ request: SwarmInitRequest) async throws -> NodeID {
        do {
            let node = try await initialise(request)
            await prepareEngine()
            return node
        } catch { throw Self.apiError(error) }
    }

    func swarmJoin(_ request: SwarmJoinRequest) async throws {
        do {
            try await join(request)
            await prepareEngine()
        } catch { throw Self.apiError(error) }
    }

    func swarmLeave(force: Bool) async throws {
        try await leave(force: force)
        await forgetNetworks()
    }

    func swarmUpdate(version: Version, spec: ClusterSpec, rotate: SwarmRotation) async throws {
        guard let role = member?.role else { throw APIError.notAManagerOnWorker }
        do { try await role.update(version: version, spec: spec, rotate: rotate) } catch { throw Self.apiError(error) }
    }

    func swarmUnlock(_ key: Secret) async throws { try await unlock(with: key) }

    nonisolated func clusterEvents() -> (past: [ClusterEvent], live: AsyncStream<ClusterEvent>) { eventLog.follow() }

    func starting<Answer: Sendable>(
        _ container: String, _ body: @Sendable () async throws -> Answer
    ) async throws -> Answer {
        containersStarting.append(container)
        defer { if let index = containersStarting.firstIndex(of: container) { containersStarting.remove(at: index) } }
        return try await body()
    }

    func nodes() async throws -> [Node] { try await control { $0.nodes } }

    func nodeUpdate(_ id: NodeID, version: Version, spec: NodeSpec) async throws {
        _ = try await command(.updateNode(id, version: version, spec))
    }

    func nodeRemove(_ id: NodeID, force: Bool) async throws { _ = try await command(.removeNode(id, force: force)) }

    func clusterSnapshot() async -> ClusterSnapshot {
        var snapshot = ClusterSnapshot()
        guard let member else { return snapshot }
        if let role = member.role, let known = try? await role.manager.read({ ($0.networks, $0.endpoints, $0.peers) }) {
            (snapshot.networks, snapshot.endpoints, snapshot.peers) = known
        } else if let known = try? await member.agent.read({ ($0.networks, $0.endpoints, $0.peers) }) {
            (snapshot.networks, snapshot.endpoints, snapshot.peers) = known
        }
        // About its own endpoints the node knows best.
        if let own = try? await member.agent.read({ $0.ownEndpoints }) {
            snapshot.endpoints = snapshot.endpoints.filter { $0.node != member.node } + own
        }
        return snapshot
    }

    func clusterNetworks() async -> [Network] {
        if let networks = try? await member?.role?.manager.read({ $0.networks }) { return networks }
        return (try? await member?.agent.read { $0.networks }) ?? []
    }

    func networkCreate(_ spec: NetworkSpec) async throws -> NetworkID {
        // What the node reports of itself comes late for a route that was made just now, or while weftd did not run.
        if let member, let routes = try? HostInterfaces.read().routedPrefixes {
            _ = try await command(.noteRoutes(member.node, NodeDescription.reported(routes: routes)))
        }
        guard case .network(let network) = try await command(.createNetwork(spec)) else {
            throw APIError(500, "the manager answered something else than a network")
        }
        return network.id
    }

    func networkRemove(_ id: NetworkID) async throws { _ = try await command(.removeNetwork(id.rawValue)) }

    private func control<Value: Sendable>(_ body: @escaping @Sendable (ControlMachine) -> Value) async throws -> Value {
        guard let role = member?.role else { throw APIError.notAManagerOnWorker }
        do { return try await role.manager.read(body) } catch { throw Self.apiError(error) }
    }

    private func command(_ command: ControlCommand) async throws -> ControlReply {
        guard let role = member?.role else { throw APIError.notAManagerOnWorker }
        do { return try await role.manager.perform(command) } catch { throw Self.apiError(error) }
    }

    static func apiError(_ error: any Error) -> APIError {
        switch error {
        case let error as APIError: error
        case let error as ControlError:
            switch error.kind {
            case .notFound: APIError(404, error.message)
            case .conflict: APIError(409, error.message)
            case .invalid, .failedPrecondition: APIError(400, error.message)
            case .forbidden: APIError(403, error.message)
            case .unavailable: APIError(503, error.message)
            case .outOfSequence: .outOfSequence
            }
        case let error as AttachError:
            switch error {
            case .networkNotFound, .endpointNotFound: APIError(404, "\(error)")
            case .notAttachable: APIError(403, "\(error)")
            case .networkAmbiguous, .badName, .badMAC: APIError(400, "\(error)")
            case .alreadyAttached, .macInUse, .addressRefused: APIError(409, "\(error)")
            case .noFreeAddress, .networkRemoved, .sandboxGone, .detached: APIError(409, "\(error)")
            default: APIError(500, "\(error)")
            }
        case let error as SandboxError:
            switch error {
            case .invalidSpec, .ambiguous: APIError(400, "\(error)")
            case .notFound: APIError(404, "\(error)")
            case .nameTaken, .stillRunning, .notRunning: APIError(409, "\(error)")
            case .refused(let code, let reason): APIError(code == 125 ? 500 : 400, reason)
            default: APIError(500, "\(error)")
            }
        case is ManagerBusy, is AgentBusy: APIError(503, "\(error)")
        default: APIError(500, "\(error)")
        }
    }
}
