import WeftIPAM
import WeftModel
import WeftNet

/// The dispatcher's side of the nodes' sessions.
extension ControlMachine {
    mutating func connected(_ node: NodeID, _ session: SessionID, address: IPv4Address?, now: Instant) {
        guard state.nodes[node] != nil else {
            let reason = "node \(node) is not, or no longer, in this swarm: leave and join again"
            effects.append(.send(node, session, .goodbye(reason: reason)))
            effects.append(.closeSession(node, session, reason: reason))
            return
        }
        close(node, reason: "the node opened a newer session", goodbye: true, now: now)
        sessions[node] = Session(id: session, address: address, since: now)
        lastHeard[node] = now
    }

    mutating func received(_ message: NodeMessage, from node: NodeID, now: Instant) {
        if case .hello(let description, let vtep, let applied, let endpoints) = message {
            hello(from: node, description, vtep: vtep, applied: applied, endpoints: endpoints, now: now)
            return
        }
        guard sessions[node]?.isOpen ?? false else {
            close(node, reason: "the first message of a session must be hello", now: now)
            return
        }
        switch message {
        case .hello, .heartbeat: break
        case .endpointsChanged(let added, let removed):
            for id in removed.sorted() where state.endpoints[id]?.node == node {
                state.delete(Endpoint.key(id))
            }
            accept(added, from: node)
            asksAreDue = asksAreDue || !removed.isEmpty
        case .leaseRequest(let number, let subnet, let address, let isSpare):
            leaseRequested(number, subnet: subnet, address: address, isSpare: isSpare, by: node, now: now)
        case .leasesReturned(let ids):
            leasesReturned(ids, by: node)
        case .addressesReturned(let number, let subnet, let prefix):
            addressesReturned(number, prefix, of: subnet, by: node)
        case .addressesKept(let number, let reason):
            addressesKept(number, reason: reason, by: node)
        case .resyncRequest:
            sessions[node]?.told = nil
            sessions[node]?.owesAnswer = true
        case .descriptionChanged(let description):
            guard var record = state.nodes[node], record.description != description else { return }
            record.description = description
            record.updatedAt = wallClock
            state.put(record)
            noteOverlaps(of: record)
        case .leaving:
            left(node, now: now)
        }
    }

    private mutating func hello(
        from node: NodeID, _ description: NodeDescription, vtep: IPv4Address, applied: Version, endpoints: [Endpoint],
        now: Instant
    ) {
        guard var record = state.nodes[node], var session = sessions[node] else { return }
        if let reason = objection(toDataPath: vtep, of: record, from: session.address) {
            return refuse(record, description, reason: reason, now: now)
        }
        guard freeDataPathAddress(vtep, for: record, description, now: now) else { return }
        let before = record
        record.description = description
        // One whose sessions break off must hold one first.
        if brokenSessions[node, default: 0] < Self.brokenSessionsMax {
            record.state = .ready
            record.problem = nil
        }
        record.dataPathAddress = vtep
        record.address = session.address ?? record.address ?? vtep
        if record != before {
            record.updatedAt = wallClock
            state.put(record)
            noteOverlaps(of: record)
        }
        // It is back: what it leases stays its own.
        for lease in state.leases.values where lease.node == node { restingLeases[lease.id] = nil }

        // A node that knows nothing says nothing of its endpoints by that: it may have lost its memory, and asks for ours. It tells
        // what it has once it has heard.
        let isEmptyHanded = applied == .none && endpoints.isEmpty
        let reported = Set(endpoints.map(\.id))
        for id in isEmptyHanded ? [] : (state.nodeEndpoints[node] ?? []).sorted() where !reported.contains(id) {
            state.delete(Endpoint.key(id))
        }
        accept(endpoints, from: node)
        grantFirstBlocks(to: node)

        session.isOpen = true
        session.owesAnswer = true
        asksAreDue = true
        // The log has what came after `applied`, or the node gets everything.
        session.told = applied != .none && applied >= logBase && applied <= state.revision ? applied : nil
        session.examined = session.told ?? .none
        sessions[node] = session
    }

    /// Two nodes behind one VTEP would get each other's packets. A node that is gone gives its address up.
    private mutating func freeDataPathAddress(
        _ vtep: IPv4Address, for node: Node, _ description: NodeDescription, now: Instant
    ) -> Bool {
        let others = state.nodes.values.filter { $0.id != node.id && $0.dataPathAddress == vtep }
        for var other in others.sorted(by: { $0.id < $1.id }) {
            if isConnected(other.id) {
                refuse(
                    node, description, reason: "the data path address \(vtep) is already that of node \(other.label)", now: now)
                return false
            }
            other.dataPathAddress = nil
            other.state = .down
            other.problem = "its data path address \(vtep) is that of node \(node.label) now"
            other.updatedAt = wallClock
            state.put(other)
        }
        return true
    }

    mutating func noteRoutes(of id: NodeID, _ routes: [IPv4Prefix]) throws(ControlError) -> Node {
        guard var record = state.nodes[id] else { throw ControlError(.notFound, "node \(id) not found") }
        guard record.description != nil, record.description?.routes != routes else { return record }
        record.description?.routes = routes
        record.updatedAt = wallClock
        state.put(record)
        noteOverlaps(of: record)
        return record
    }

    private mutating func noteOverlaps(of node: Node) {
        for network in networks {
            if let route = node.routeOverlapping(.v4(network.subnet)) {
                effects.append(
                    .note(
                        "network \(network.spec.name) (\(network.subnet)) overlaps with the route \(route) of node \(node.label): "
                            + "that node's containers cannot reach what lies behind the route"))
            }
        }
    }

    private mutating func left(_ node: NodeID, now: Instant) {
        guard var record = state.nodes[node] else { return }
        forgetEndpoints(of: node, now: now)
        record.state = .down
        record.problem = "it left the swarm"
        record.updatedAt = wallClock
        state.put(record)
        close(node, reason: "node \(record.label) left the swarm", goodbye: true, now: now)
    }

    /// Takes a node's own endpoints in, as far as they are its to make.
    private mutating func accept(_ endpoints: [Endpoint], from node: NodeID) {
        for endpoint in endpoints.sorted(by: { $0.id < $1.id }) {
            if let reason = objection(to: endpoint, from: node) {
                effects.append(
                    .note("endpoint \(endpoint.name) (\(endpoint.id)) of node \(node) is refused: \(reason)"))
                tell(node, ofRefused: endpoint.id, reason: reason)
                continue
            }
            var known = state.endpoints[endpoint.id]
            known?.version = endpoint.version
            if known != endpoint { state.put(endpoint) }
        }
    }

    /// A node that does not know the message would end its session over it, and come back with the same endpoint. Nodes
    /// understand it since the version in which they began to return addresses, which is what they announce.
    private mutating func tell(_ node: NodeID, ofRefused endpoint: EndpointID, reason: String) {
        guard let session = sessions[node], state.nodes[node]?.description?.returnsAddresses == true else { return }
        effects.append(.send(node, session.id, .endpointRefused(endpoint, reason: reason)))
    }

    private mutating func objection(to endpoint: Endpoint, from node: NodeID) -> String? {
        guard endpoint.node == node else { return "it says it is node \(endpoint.node)'s" }
        guard state.networks[endpoint.network] != nil else { return "there is no network \(endpoint.network)" }
        if let known = state.endpoints[endpoint.id], known.node != node || known.network != endpoint.network {
            return "its id is another endpoint's"
        }
        if endpoint.mac.isMulticast || endpoint.mac.rawValue == 0 { return "\(endpoint.mac) is no interface's address" }
        for address in endpoint.addresses {
            if let reason = objection(to: address, of: endpoint) { return reason }
        }
        for address in endpoint.addresses {
            // Nobody's address, in use: the node keeps it (the store is older than the endpoint).
            guard state.subnetLeases[SubnetID(endpoint.network, address.family)]?.lease(holding: address) == nil else {
                continue
            }
            state.put(AddressLease(network: endpoint.network, block: AnyIPPrefix(host: address), node: node))
        }
        return nil
    }

    private func objection(to address: IPAddress, of endpoint: Endpoint) -> String? {
        guard let leases = state.subnetLeases[SubnetID(endpoint.network, address.family)] else {
            return "network \(endpoint.network) has no \(address.family)"
        }
        guard leases.layout.isAssignable(address) else {
            return "\(address) is no address for endpoints of \(leases.layout.subnet)"
        }
        if let user = state.addressUsers[endpoint.network]?[address], user != endpoint.id {
            return "\(address) is endpoint \(user)'s"
        }
        guard let lease = leases.lease(holding: address), lease.node != endpoint.node else { return nil }
        return "\(address) lies in the block \(lease.block) of node \(lease.node)"
    }
}
