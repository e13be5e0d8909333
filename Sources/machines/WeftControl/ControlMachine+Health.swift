import WeftModel
import WeftNet

/// Which nodes are ready, and why others are not.
extension ControlMachine {
    /// A session that ended within this time did not hold.
    static let sessionHolds: Duration = .seconds(5)
    /// So many sessions in a row that did not hold make a node down, though it comes back each time.
    static let brokenSessionsMax = 4
    /// Addresses that are remembered for a node.
    private static let shownAddressesMax = 4

    /// Ends the node's session here, and returns it.
    @discardableResult
    mutating func end(_ node: NodeID, now: Instant) -> Session? {
        guard let session = sessions.removeValue(forKey: node) else { return nil }
        asksAreDue = true
        guard session.isOpen else { return session }
        let lasted = now - session.since
        guard lasted < Self.sessionHolds else {
            brokenSessions[node] = nil
            return session
        }
        brokenSessions[node, default: 0] += 1
        if brokenSessions[node] == Self.brokenSessionsMax, let record = state.nodes[node], record.state == .ready {
            setDown(
                record,
                because: "its sessions end as soon as they begin, \(Self.brokenSessionsMax) in a row; weftd's log on it says why")
        }
        return session
    }

    /// A node that came back and held its session is ready.
    mutating func settle(_ node: NodeID, _ session: Session, now: Instant) {
        guard brokenSessions[node] != nil, now - session.since >= Self.sessionHolds else { return }
        brokenSessions[node] = nil
        guard var record = state.nodes[node], record.state != .ready else { return }
        record.state = .ready
        record.problem = nil
        record.updatedAt = wallClock
        state.put(record)
    }

    mutating func setDown(_ node: Node, because reason: String) {
        effects.append(.note("node \(node.label) is down: \(reason)"))
        var node = node
        node.state = .down
        node.problem = reason
        node.updatedAt = wallClock
        state.put(node)
    }

    /// Does not take the node in, and says why to it and to who looks at it.
    mutating func refuse(_ node: Node, _ description: NodeDescription, reason: String, now: Instant) {
        var changed = node
        changed.description = description
        changed.state = .down
        changed.problem = reason
        if changed != node {
            changed.updatedAt = wallClock
            state.put(changed)
            effects.append(.note("node \(changed.label) is not let in: \(reason)"))
        }
        close(node.id, reason: reason, now: now)
    }

    mutating func addressShown(_ address: IPv4Address, by node: NodeID) {
        guard state.nodes[node] != nil else { return }
        var shown = shownAddresses[node, default: []].filter { $0 != address }
        shown.append(address)
        shownAddresses[node] = shown.suffix(Self.shownAddressesMax)
    }

    /// Why a node cannot have its tunnels end at an address, nil when it can. It must be the node's own: the one that its
    /// session comes from, one that it called from, or the one that it has.
    func objection(toDataPath address: IPv4Address, of node: Node, from source: IPv4Address?) -> String? {
        guard address.isHostAddress else {
            return "\(address) cannot be a data path address: give one of the host's network with --data-path-addr"
        }
        if let network = networks.first(where: { $0.subnet.contains(address) }) {
            return "the data path address \(address) lies in network \(network.spec.name) (\(network.subnet)): give one of the "
                + "host's network with --data-path-addr"
        }
        guard let source, address != source, node.dataPathAddress != address else { return nil }
        if shownAddresses[node.id, default: []].contains(address) { return nil }
        return "its data path address \(address) is not the one that it comes from (\(source)), and it has not been seen to "
            + "answer there: let TCP from \(address) in at a manager's port, or join without --data-path-addr"
    }
}

extension IPv4Address {
    /// An address that one host may have on a network: no loopback, link-local, group or broadcast address (RFC 6890).
    fileprivate var isHostAddress: Bool {
        let first = rawValue >> 24
        let isLinkLocal = rawValue >> 16 == 0xa9fe
        return first != 0 && first != 127 && first < 224 && !isLinkLocal
    }
}
