import WeftIPAM
import WeftModel
import WeftNet

/// A node's request for addresses that are all leased. It lives as long as the node's session: who loses that, or the
/// manager, asks anew.
struct AddressAsk: Sendable {
    let node: NodeID
    let session: SessionID
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
extension ControlMachine {
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
    mutating func advanceAsks(now: Instant) {
        guard asksAreDue else { return }
        asksAreDue = false
        guard !asks.isEmpty else { return }
        var left: [AddressAsk] = []
        for var ask in asks where sessions[ask.node]?.id == ask.session {
            switch advance(&ask, now: now) {
            case .granted: effects.append(.send(ask.node, ask.session, .leaseGranted(ask.number)))
            case .refused(let reason):
                effects.append(.send(ask.node, ask.session, .leaseRefused(ask.number, reason: reason)))
            case .waits: left.append(ask)
            }
        }
        asks = left
        asksAreDue = false
    }

    private mutating func advance(_ ask: inout AddressAsk, now: Instant) -> Progress {
        do throws(ControlError) {
            if try lease(ask.subnet, address: ask.address, to: ask.node) { return .granted }
        } catch {
            return .refused(error.message)
        }
        let waited = now - ask.since
        if let question = ask.question, sessions[question.holder]?.id != question.session { ask.question = nil }
        if ask.question != nil {
            return waited < Self.patience ? .waits : .refused(unanswered(ask))
        }
        guard let address = ask.address else { return advanceAny(&ask, waited: waited) }
        return advanceNamed(&ask, address, waited: waited)
    }

    private mutating func advanceNamed(_ ask: inout AddressAsk, _ address: IPAddress, waited: Duration) -> Progress {
        guard let holder = state.subnetLeases[ask.subnet]?.lease(holding: address)?.node else { return .waits }
        if ask.refusals[holder] != nil { return .refused(ask.reason ?? inUse(address, ask.subnet, by: holder)) }
        switch reachability(of: holder) {
        case .canBeAsked(let session) where waited < Self.patience:
            put(&ask, to: holder, session, free: 0)
            return .waits
        case .mayComeBack where waited < Self.patience: return .waits
        case .canBeAsked, .mayComeBack, .isAway, .cannotBeAsked: return .refused(inUse(address, ask.subnet, by: holder))
        }
    }

    private mutating func advanceAny(_ ask: inout AddressAsk, waited: Duration) -> Progress {
        let used = state.usedAddresses[ask.subnet] ?? [:]
        var best: (node: NodeID, session: SessionID, free: Int)?
        var mayComeBack = false
        for (node, capacity) in state.subnetLeases[ask.subnet]?.capacities ?? [:] where node != ask.node {
            let free = capacity - (used[node] ?? 0)
            guard free > 0, free > ask.refusals[node] ?? 0 else { continue }
            switch reachability(of: node) {
            case .canBeAsked(let session):
                if best.map({ (free, $0.node) > ($0.free, node) }) ?? true { best = (node, session, free) }
            case .mayComeBack: mayComeBack = true
            case .isAway, .cannotBeAsked: break
            }
        }
        if let best {
            guard waited < Self.patience else { return .refused(exhausted(ask)) }
            put(&ask, to: best.node, best.session, free: best.free)
            return .waits
        }
        return waited < (mayComeBack ? Self.patience : Self.grace) ? .waits : .refused(exhausted(ask))
    }

    private mutating func put(_ ask: inout AddressAsk, to holder: NodeID, _ session: SessionID, free: Int) {
        ask.question = AddressAsk.Question(number: nextQuestion, holder: holder, session: session)
        ask.refusals[holder] = nil
        effects.append(.send(holder, session, .addressesWanted(nextQuestion, ask.subnet, address: ask.address)))
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

    private func reachability(of node: NodeID) -> Reachability {
        guard let record = state.nodes[node], record.state != .down else { return .isAway }
        guard let session = sessions[node], session.isOpen else { return .mayComeBack }
        return record.description?.returnsAddresses ?? false ? .canBeAsked(session.id) : .cannotBeAsked
    }

    // MARK: Answers

    mutating func addressesReturned(_ number: RequestNumber, _ prefix: AnyIPPrefix, of subnet: SubnetID, by node: NodeID) {
        let index = answered(number, by: node)
        let isFreed = takeBack(prefix, of: subnet, from: node)
        guard let index else { return }
        let ask = asks[index]
        // What is of no use to the request is a refusal, or its holder would be asked the same again.
        if !isFreed || ask.subnet != subnet || !(ask.address.map { prefix.contains(AnyIPPrefix(host: $0)) } ?? true) {
            noteRefusal(index, by: node)
        }
    }

    /// Whether the addresses are free now.
    private mutating func takeBack(_ prefix: AnyIPPrefix, of subnet: SubnetID, from node: NodeID) -> Bool {
        guard let block = state.subnetLeases[subnet]?.lease(holding: prefix.network)?.block, block.contains(prefix),
            let lease = state.leases[AddressLease(network: subnet.network, block: block, node: node).id], lease.node == node
        else { return false }
        takeBack(prefix, from: lease)
        return state.subnetLeases[subnet]?.lease(holding: prefix.network) == nil
    }

    mutating func addressesKept(_ number: RequestNumber, reason: String, by node: NodeID) {
        guard let index = answered(number, by: node) else { return }
        noteRefusal(index, by: node)
        asks[index].reason = reason
    }

    private mutating func noteRefusal(_ index: Int, by node: NodeID) {
        let subnet = asks[index].subnet
        let capacity = state.subnetLeases[subnet]?.capacities[node] ?? 0
        asks[index].refusals[node] = max(0, capacity - (state.usedAddresses[subnet]?[node] ?? 0))
    }

    private mutating func answered(_ number: RequestNumber, by node: NodeID) -> Int? {
        asksAreDue = true
        let index = asks.firstIndex { $0.question?.number == number && $0.question?.holder == node }
        if let index { asks[index].question = nil }
        return index
    }

    // MARK: Sentences

    private func label(_ node: NodeID) -> String { state.nodes[node]?.label ?? node.rawValue }

    /// Why the address that another node leases is not to be had.
    private func inUse(_ address: IPAddress, _ subnet: SubnetID, by holder: NodeID) -> String {
        if let user = state.addressUsers[subnet.network]?[address], let endpoint = state.endpoints[user] {
            let name = endpoint.name.isEmpty ? "endpoint \(endpoint.id)" : "endpoint \(endpoint.name)"
            return "the address \(address) is in use by \(name) on node \(label(holder))"
        }
        return "the address \(address) is leased by node \(label(holder)), which \(absence(of: holder))"
    }

    private func absence(of node: NodeID) -> String {
        guard let record = state.nodes[node] else {
            return "was removed a moment ago: its addresses are free within \(NodeAddresses.rest.components.seconds) s"
        }
        if record.state == .down {
            return "is down: its addresses are to be had once it is back, or removed from the swarm (weft node rm)"
        }
        guard sessions[node]?.isOpen ?? false else { return "does not answer: try again" }
        return record.description?.returnsAddresses ?? false
            ? "did not answer in time: try again" : "runs a version of Weft that gives no address back: update it"
    }

    private func unanswered(_ ask: AddressAsk) -> String {
        guard let holder = ask.question?.holder else { return exhausted(ask) }
        if let address = ask.address { return inUse(address, ask.subnet, by: holder) }
        return exhausted(ask)
    }

    /// Why there is no address at all.
    private func exhausted(_ ask: AddressAsk) -> String {
        guard let leases = state.subnetLeases[ask.subnet] else { return "the network was removed" }
        let used = state.usedAddresses[ask.subnet] ?? [:]
        var sentence = "all addresses of \(leases.layout.range) are in use"
        for (node, capacity) in leases.capacities.sorted(by: { $0.key < $1.key }) where node != ask.node {
            let free = capacity - (used[node] ?? 0)
            if free > 0, ask.refusals[node] == nil {
                sentence += ", but for \(free) leased by node \(label(node)), which \(absence(of: node))"
            }
        }
        return sentence + "; detach something, or create the network anew with a larger --subnet"
    }
}
