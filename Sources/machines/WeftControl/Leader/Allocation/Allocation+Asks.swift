import WeftIPAM
import WeftModel
import WeftNet

/// A node's request for addresses that are all leased. It lives as long as the node's session: who loses that, or the
/// manager, asks anew. A service asks without a session, as long as it lacks an address.
struct AddressAsk: Sendable {
    let node: NodeID
    let session: SessionID?
    /// The node's number for the request.
    let number: RequestNumber
    let subnet: SubnetID
    /// The one that it must be, nil for any.
    let address: IPAddress?
    let since: Instant
    /// The question that is open, and who is to answer it in which session.
    var question: Question?
    /// Who gave nothing back, and how many addresses seemed to be free there.
    var refusals: [NodeID: Int] = [:]
    /// The last refusal's sentence.
    var reason: String?

    struct Question: Hashable, Sendable {
        let number: RequestNumber
        let holder: NodeID
        let session: SessionID
    }
}

/// Addresses that are asked back from the nodes that lease them (docs/design/addresses.md).
extension Allocation {
    /// How long a request waits for answers, or for a node that is about to come back. Less than the attach waits. After it
    /// nobody is asked any more: a holder whose answers are of no use may not keep a request open.
    private static let patience: Duration = .seconds(3)
    /// How long a request waits where nobody has anything to give, by what is known: an endpoint's end may be on its way.
    private static let grace: Duration = .seconds(1)

    /// So many requests of one node wait at a time.
    static let asksPerNode = 64

    private enum Progress {
        case granted, waits
        case refused(String)
    }

    /// Takes every request a step further that can go one.
    mutating func advanceAsks(_ round: inout Round) {
        let isDue = asksAreDue || round.isTick || round.sessionsChanged || round.mark.changes > 0
        asksAreDue = false
        guard isDue, !asks.isEmpty else { return }
        var left: [AddressAsk] = []
        for var ask in asks where Self.isAlive(ask, in: round) {
            switch (advance(&ask, in: &round), ask.session) {
            case (.granted, let session?): round.send(ask.node, session, .leaseGranted(ask.number))
            case (.refused(let reason), let session?): round.send(ask.node, session, .leaseRefused(ask.number, reason: reason))
            case (.granted, nil), (.refused, nil): break
            case (.waits, _): left.append(ask)
            }
        }
        asks = left
    }

    private static func isAlive(_ ask: AddressAsk, in round: Round) -> Bool {
        if let session = ask.session { return round.dispatcher.isCurrent(ask.node, session) }
        return round.tables.services[ServiceID(ask.node.rawValue)]?.problem != nil
    }

    /// A service lacks an address of a subnet that is leased as a whole. What a node gives back is the service's, which is seen to before
    /// requests of nodes are.
    mutating func ask(for wish: ServiceAllocation.Wish, now: Instant) {
        let node = NodeID(wish.service.rawValue)
        guard !asks.contains(where: { $0.node == node && $0.subnet == wish.subnet }) else { return }
        asks.append(AddressAsk(node: node, session: nil, number: 0, subnet: wish.subnet, address: nil, since: now))
        asksAreDue = true
    }

    private mutating func advance(_ ask: inout AddressAsk, in round: inout Round) -> Progress {
        do throws(ControlError) {
            if ask.session != nil, try Self.lease(ask.subnet, address: ask.address, to: ask.node, in: &round) { return .granted }
        } catch {
            return .refused(error.message)
        }
        let waited = round.now - ask.since
        if let question = ask.question, !round.dispatcher.isCurrent(question.holder, question.session) { ask.question = nil }
        if ask.question != nil {
            return waited < Self.patience ? .waits : .refused(Self.unanswered(ask, in: round))
        }
        guard let address = ask.address else { return advanceAny(&ask, waited: waited, in: &round) }
        return advanceNamed(&ask, address, waited: waited, in: &round)
    }

    private mutating func advanceNamed(
        _ ask: inout AddressAsk, _ address: IPAddress, waited: Duration, in round: inout Round
    ) -> Progress {
        guard let holder = round.tables.subnetLeases[ask.subnet]?.lease(holding: address)?.node else { return .waits }
        if ask.refusals[holder] != nil { return .refused(ask.reason ?? Self.inUse(address, ask.subnet, by: holder, in: round)) }
        switch Self.reachability(of: holder, in: round) {
        case .canBeAsked(let session) where waited < Self.patience:
            put(&ask, to: holder, session, free: 0, in: &round)
            return .waits
        case .mayComeBack where waited < Self.patience: return .waits
        case .canBeAsked, .mayComeBack, .isAway, .cannotBeAsked: return .refused(Self.inUse(address, ask.subnet, by: holder, in: round))
        }
    }

    private mutating func advanceAny(_ ask: inout AddressAsk, waited: Duration, in round: inout Round) -> Progress {
        let used = round.tables.usedAddresses[ask.subnet] ?? [:]
        var best: (node: NodeID, session: SessionID, free: Int)?
        var mayComeBack = false
        for (node, capacity) in round.tables.subnetLeases[ask.subnet]?.capacities ?? [:] where node != ask.node {
            let free = capacity - (used[node] ?? 0)
            guard free > 0, free > ask.refusals[node] ?? 0 else { continue }
            switch Self.reachability(of: node, in: round) {
            case .canBeAsked(let session):
                if best.map({ (free, $0.node) > ($0.free, node) }) ?? true { best = (node, session, free) }
            case .mayComeBack: mayComeBack = true
            case .isAway, .cannotBeAsked: break
            }
        }
        if let best {
            guard waited < Self.patience else { return .refused(Self.exhausted(ask, in: round)) }
            put(&ask, to: best.node, best.session, free: best.free, in: &round)
            return .waits
        }
        return waited < (mayComeBack ? Self.patience : Self.grace) ? .waits : .refused(Self.exhausted(ask, in: round))
    }

    private mutating func put(
        _ ask: inout AddressAsk, to holder: NodeID, _ session: SessionID, free: Int, in round: inout Round
    ) {
        ask.question = AddressAsk.Question(number: nextQuestion, holder: holder, session: session)
        ask.refusals[holder] = nil
        round.send(holder, session, .addressesWanted(nextQuestion, ask.subnet, address: ask.address))
        nextQuestion += 1
    }

    private enum Reachability {
        case canBeAsked(SessionID)
        /// It has no session, and is not known to be down.
        case mayComeBack
        /// Down, or no member any more.
        case isAway
        /// Of a version that does not give anything back.
        case cannotBeAsked
    }

    private static func reachability(of node: NodeID, in round: Round) -> Reachability {
        guard let record = round.tables.nodes[node], record.state != .down else { return .isAway }
        guard let session = round.dispatcher.sessions[node], session.isOpen else { return .mayComeBack }
        return record.description?.returnsAddresses ?? false ? .canBeAsked(session.id) : .cannotBeAsked
    }

    // MARK: Answers

    mutating func addressesReturned(
        _ number: RequestNumber, _ prefix: AnyIPPrefix, of subnet: SubnetID, by node: NodeID, in round: inout Round
    ) {
        let index = answered(number, by: node)
        let isFreed = Self.takeBack(prefix, of: subnet, from: node, in: &round)
        guard let index else { return }
        let ask = asks[index]
        // What is of no use to the request is a refusal, or its holder would be asked the same again.
        if !isFreed || ask.subnet != subnet || !(ask.address.map { prefix.contains(AnyIPPrefix(host: $0)) } ?? true) {
            noteRefusal(index, by: node, in: round)
        }
    }

    /// Whether the addresses are free now.
    private static func takeBack(
        _ prefix: AnyIPPrefix, of subnet: SubnetID, from node: NodeID, in round: inout Round
    ) -> Bool {
        guard let block = round.tables.subnetLeases[subnet]?.lease(holding: prefix.network)?.block, block.contains(prefix),
            let lease = round.tables.leases[AddressLease(network: subnet.network, block: block, node: node).id], lease.node == node
        else { return false }
        takeBack(prefix, from: lease, in: &round)
        return round.tables.subnetLeases[subnet]?.lease(holding: prefix.network) == nil
    }

    mutating func addressesKept(_ number: RequestNumber, reason: String, by node: NodeID, in round: Round) {
        guard let index = answered(number, by: node) else { return }
        noteRefusal(index, by: node, in: round)
        asks[index].reason = reason
    }

    private mutating func noteRefusal(_ index: Int, by node: NodeID, in round: Round) {
        let subnet = asks[index].subnet
        let capacity = round.tables.subnetLeases[subnet]?.capacities[node] ?? 0
        asks[index].refusals[node] = max(0, capacity - (round.tables.usedAddresses[subnet]?[node] ?? 0))
    }

    private mutating func answered(_ number: RequestNumber, by node: NodeID) -> Int? {
        asksAreDue = true
        let index = asks.firstIndex { $0.question?.number == number && $0.question?.holder == node }
        if let index { asks[index].question = nil }
        return index
    }

    // MARK: Sentences

    private static func label(_ node: NodeID, in round: Round) -> String { round.tables.nodes[node]?.label ?? node.rawValue }

    /// Why the address that another node leases is not to be had.
    private static func inUse(
        _ address: IPAddress, _ subnet: SubnetID, by holder: NodeID, in round: Round
    ) -> String {
        if let user = round.tables.addressUsers[subnet.network]?[address], let endpoint = round.tables.endpoints[user] {
            let name = endpoint.name.isEmpty ? "endpoint \(endpoint.id)" : "endpoint \(endpoint.name)"
            return "the address \(address) is in use by \(name) on node \(label(holder, in: round))"
        }
        if let service = round.tables.services[ServiceID(holder.rawValue)] {
            return "the address \(address) is the virtual address of service \(service.spec.name)"
        }
        return "the address \(address) is leased by node \(label(holder, in: round)), which \(absence(of: holder, in: round))"
    }

    private static func absence(of node: NodeID, in round: Round) -> String {
        guard let record = round.tables.nodes[node] else {
            return "was removed a moment ago: its addresses are free within \(NodeAddresses.rest.components.seconds) s"
        }
        if record.state == .down {
            return "is down: its addresses are to be had once it is back, or removed from the swarm (weft node rm)"
        }
        guard round.dispatcher.isConnected(node) else { return "does not answer: try again" }
        return record.description?.returnsAddresses ?? false
            ? "did not answer in time: try again" : "runs a version of Weft that gives no address back: update it"
    }

    private static func unanswered(_ ask: AddressAsk, in round: Round) -> String {
        guard let holder = ask.question?.holder else { return exhausted(ask, in: round) }
        if let address = ask.address { return inUse(address, ask.subnet, by: holder, in: round) }
        return exhausted(ask, in: round)
    }

    /// Why there is no address at all.
    private static func exhausted(_ ask: AddressAsk, in round: Round) -> String {
        guard let leases = round.tables.subnetLeases[ask.subnet] else { return "the network was removed" }
        let used = round.tables.usedAddresses[ask.subnet] ?? [:]
        var sentence = "all addresses of \(leases.layout.range) are in use"
        for (node, capacity) in leases.capacities.sorted(by: { $0.key < $1.key }) where node != ask.node {
            let free = capacity - (used[node] ?? 0)
            if free > 0, ask.refusals[node] == nil, round.tables.services[ServiceID(node.rawValue)] == nil {
                sentence += ", but for \(free) leased by node \(label(node, in: round)), which \(absence(of: node, in: round))"
            }
        }
        return sentence + "; detach something, or create the network anew with a larger --subnet"
    }
}
