import WeftAgentCore
import WeftControl
import WeftDNS
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode
import WeftWire

/// The rules.
struct Checker {
    private struct Place: Hashable {
        let network: NetworkID
        let address: IPAddress
    }

    /// What holds at all times: no address twice, as long as any interface has it; no address in two leases; nothing in use
    /// that is not leased. Hosts that the swarm let go are no longer bound by it.
    func brokenRule(in cluster: SimCluster) -> String? {
        var current: [Place: Endpoint] = [:]
        var blocks: [SubnetID: [(block: AnyIPPrefix, node: String)]] = [:]
        let members = cluster.nodes.filter {
            !$0.isGone && cluster.store.objects[Node.key($0.id)] != nil
        }
        if let stranger = Self.stranger(among: members, in: cluster) { return stranger }
        for node in members {
            var endpoints = node.interfaces
            for endpoint in node.agent?.ownEndpoints ?? [] { endpoints[endpoint.id] = endpoint }
            for endpoint in endpoints.values {
                for address in endpoint.addresses {
                    let place = Place(network: endpoint.network, address: address)
                    if let other = current[place], other.id != endpoint.id {
                        return "\(address) is \(other.name)'s and \(endpoint.name)'s (\(other.node), \(endpoint.node))"
                    }
                    current[place] = endpoint
                }
            }
            for lease in node.agent?.usableLeases ?? [] {
                blocks[lease.subnet, default: []].append((lease.block, node.description.hostname))
            }
            if let stray = Self.stray(on: node) { return stray }
        }
        for (subnet, leased) in blocks {
            let sorted = leased.sorted { $0.block < $1.block }
            for (one, next) in zip(sorted, sorted.dropFirst()) where one.block.overlaps(next.block) {
                return
                    "blocks \(one.block) of \(one.node) and \(next.block) of \(next.node) of \(subnet) overlap"
            }
        }
        if let overlap = overlappingLeases(cluster) { return overlap }
        return nil
    }

    /// An address that a node uses or keeps though it gave it back, or never had it.
    private static func stray(on node: SimNode) -> String? {
        guard let agent = node.agent else { return nil }
        let blocks = Dictionary(grouping: agent.usableLeases, by: \.network)
        let places =
            agent.ownEndpoints.flatMap { endpoint in endpoint.addresses.map { (endpoint.network, $0) } }
            + agent.reservedPlaces.map { ($0.network, $0.address) }
        let stray = places.first { network, address in
            !(blocks[network] ?? []).contains { $0.block.contains(address) }
        }
        return stray.map { "\(node.description.hostname) uses \($0.1), which it does not lease" }
    }

    /// Members and the manager must believe each other at any time: a session may end at any time.
    private static func stranger(among members: [SimNode], in cluster: SimCluster) -> String? {
        guard let manager = cluster.nodes.first else { return nil }
        for node in members {
            let name = node.description.hostname
            if !manager.roots.contains(node.issuer) {
                return "the manager trusts \(manager.roots), \(name) has its certificate from \(node.issuer)"
            }
            if !node.roots.contains(manager.issuer) {
                return "\(name) trusts \(node.roots), the manager has its certificate from \(manager.issuer)"
            }
        }
        return nil
    }

    /// A node that left and was not removed is waited for.
    private static func unfinishedRoot(in cluster: SimCluster, _ manager: Replica) -> String? {
        guard let state = manager.cluster, manager.nodes.allSatisfy({ $0.state == .ready }) else { return nil }
        if let rotation = state.rootRotation {
            let nodes = cluster.nodes.filter { !$0.isGone }.map { node in
                let known = manager.node(node.id)?.description?.trust
                return "\(node.description.hostname) trusts \(node.roots), has a certificate of \(node.issuer), and is known to trust "
                    + (known?.rootsPEM ?? "nothing")
            }
            return "the root \(rotation.certificatePEM) is still on its way: " + nodes.joined(separator: "; ")
        }
        for node in cluster.nodes where !node.isGone {
            guard node.roots == [state.rootCertificatePEM], node.issuer == state.rootCertificatePEM else {
                return "\(node.description.hostname) trusts \(node.roots), has a certificate of \(node.issuer)"
            }
        }
        return nil
    }

    private func overlappingLeases(_ cluster: SimCluster) -> String? {
        guard cluster.hasCommitted, let replica = cluster.manager?.replica else { return nil }
        let leases = replica.leases
        for service in replica.all(Service.self) {
            for address in service.addresses {
                let own = replica.lease("\(address.network)/\(AnyIPPrefix(host: .v4(address.ipv4)))")
                guard own?.node.rawValue == service.id.rawValue else {
                    return "service \(service.spec.name) does not lease its address \(address.ipv4) of network \(address.network)"
                }
            }
        }
        for (one, next) in zip(leases, leases.dropFirst())
        where one.network == next.network && one.block.overlaps(next.block) {
            return "leases \(one.block) and \(next.block) of network \(one.network) overlap in the store"
        }
        return nil
    }

    /// What holds once nothing is under way: everybody knows the same, forwards by it, and by nothing else.
    static func difference(in cluster: SimCluster) -> String? {
        guard let core = cluster.manager else { return "there is no manager" }
        guard core.isIdle, cluster.commands.isEmpty else { return "the manager owes \(cluster.commands.count) replies" }
        guard cluster.other?.isIdle ?? true else { return "the other manager waits" }
        if let other = cluster.other?.replica, other.revision != cluster.store.revision { return "the other manager lags" }
        let manager = core.replica
        guard cluster.store.objects.count == manager.objectCount, manager.revision == cluster.store.revision else {
            return "store and manager differ"
        }
        for (key, object) in cluster.store.objects where manager.object(key) != object {
            return "store and manager differ about \(key)"
        }
        if let unfinished = unfinishedRoot(in: cluster, manager) ?? keyDifference(in: cluster, manager) { return unfinished }
        for node in cluster.nodes where !node.isGone {
            let name = node.description.hostname
            guard let record = manager.node(node.id) else { return "\(name) is no member and does not know it" }
            guard let agent = node.agent, agent.isSynchronised else { return "\(name) is not synchronised" }
            guard record.state == .ready else { return "\(name) is \(record.state)" }
            guard agent.networks == manager.networks else { return "\(name) knows other networks than the manager" }
            guard agent.peers == manager.peers else { return "\(name) knows other peers than the manager" }
            let (known, told) = (Set(plain(agent.endpoints)), Set(plain(manager.endpoints)))
            guard known == told else {
                return "\(name) knows \(known.subtracting(told)), the manager \(told.subtracting(known))"
            }
            guard agent.usableLeases == manager.leases.filter({ $0.node == node.id }) else {
                return "\(name) knows other leases"
            }
            guard node.requests.isEmpty else { return "\(name) owes \(node.requests.count) replies" }
            if let wrong = wrongInterfaces(of: node, agent) ?? staleness(of: node) { return "\(name): \(wrong)" }
            guard let table = node.compiledAnew(), node.datapath.compilation.desired.settled == table else {
                return "\(name) forwards otherwise than the manager's view says"
            }
            if let leak = leak(in: table, manager) ?? nameLeak(in: node.names, of: agent, manager) { return "\(name): \(leak)" }
        }
        return nil
    }

    /// Interfaces in the kernel are this node's endpoints'. An engine's that lost its interface does not get it back.
    private static func wrongInterfaces(of node: SimNode, _ agent: NodeMachine) -> String? {
        let present = node.kernel.kernel.endpoints
        let own = Set(agent.ownEndpoints.map(\.id))
        if let stray = present.subtracting(own).min() { return "the interface of \(stray) is there still" }
        if let missing = own.subtracting(agent.engineEndpoints).subtracting(present).min() { return "\(missing) has no interface" }
        guard !node.kernel.kernel.hasDrifted else { return nil }
        let left = WeftDatapath.difference(desired: node.datapath.compilation.desired, observed: node.kernel.kernel.state)
        return left.isEmpty ? nil : "the kernel is not as desired: \(left)"
    }

    /// What is kept by changes must be what is made at once from the same knowledge, whenever no change is on its way.
    static func staleness(of node: SimNode) -> String? {
        guard node.due.isEmpty, node.core?.machine.hasChanges == false else { return nil }
        if let anew = node.compiledAnew(), node.datapath.compilation.desired.settled != anew {
            return "what is to be in the kernel is kept wrong: \(node.datapath.compilation.desired) instead of \(anew)"
        }
        if let anew = node.namesAnew(), node.names != anew { return "the names are kept wrong" }
        return nil
    }

    /// An entry under a VNI that is not an endpoint of that network, or a member that has none there.
    private static func leak(in table: DesiredState, _ manager: Replica) -> String? {
        var users: [OverlayAddress: (endpoint: Endpoint, vtep: IPv4Address?)] = [:]
        for endpoint in manager.endpoints {
            guard let network = manager.network(endpoint.network), network.subnet.contains(endpoint.ipv4) else {
                continue
            }
            let vtep = manager.node(endpoint.node)?.dataPathAddress
            users[OverlayAddress(vni: network.vni, address: endpoint.ipv4)] = (endpoint, vtep)
            if let ipv6 = endpoint.ipv6, network.subnet6?.contains(ipv6) == true {
                users[OverlayAddress(vni: network.vni, address: ipv6)] = (endpoint, vtep)
            }
        }
        var services: Set<OverlayAddress> = []
        for address in manager.all(Service.self).flatMap(\.addresses) {
            guard let vni = manager.network(address.network)?.vni else { continue }
            services.insert(OverlayAddress(vni: vni, address: address.ipv4))
            if let ipv6 = address.ipv6 { services.insert(OverlayAddress(vni: vni, address: ipv6)) }
        }
        var members: Set<Membership> = []
        for (address, user) in users {
            if let vtep = user.vtep { members.insert(Membership(vni: address.vni, vtep: vtep)) }
        }
        for (address, location) in table.locations.sorted(by: { $0.key < $1.key }) {
            let user = users[address]
            let fits =
                switch location {
                case .local(let id, let mac, _, _): user?.endpoint.id == id && user?.endpoint.mac == mac
                case .remote(let vtep, let mac, _, let tunnel, _):
                    user.map { user in
                        user.vtep == vtep && user.endpoint.mac == mac
                            && manager.network(user.endpoint.network).map { TunnelKind(of: $0) == tunnel } ?? true
                    } ?? false
                case .service: user == nil && services.contains(address)
                case .stale: false
                }
            if !fits {
                return "\(address.address) in VNI \(address.vni) leads to \(location), which is not of that network"
            }
        }
        for member in table.members.keys.sorted() where !members.contains(member) {
            return "\(member.vtep) may send for VNI \(member.vni), of which it has no endpoint"
        }
        return nil
    }

    /// A sandbox that sees the name of an endpoint on a network that it is not on, or not that of one it shares a network
    /// with.
    private static func nameLeak(in names: NameTable, of agent: NodeMachine, _ manager: Replica) -> String? {
        let down = Set(manager.nodes.filter { $0.state == .down }.map(\.id))
        for asker in agent.ownEndpoints {
            guard let view = names.view(from: asker.ipv4) else { return "nobody asks from \(asker.ipv4)" }
            let networks = Set(manager.endpoints.filter { $0.sandbox == asker.sandbox }.map(\.network))
            guard Set(view.networks) == networks else { return "\(asker.name) is taken to be on \(view.networks)" }
            for endpoint in manager.endpoints {
                for address in endpoint.addresses {
                    let owner = names.owner(of: address, in: view)
                    let mayBeSeen = networks.contains(endpoint.network) && !down.contains(endpoint.node)
                    if case .visible = owner, !mayBeSeen { return "\(asker.name) sees \(endpoint.name) at \(address)" }
                    // An engine's endpoint has no name at first.
                    if mayBeSeen, !endpoint.name.isEmpty, owner == .hidden || owner == .outside {
                        return "\(asker.name) does not see \(endpoint.name) at \(address)"
                    }
                }
                let resolved = DNSName(endpoint.name).flatMap { names.addresses(of: $0, in: view) }
                if networks.contains(endpoint.network), !down.contains(endpoint.node), !endpoint.name.isEmpty,
                    !Set(endpoint.addresses).isSubset(of: resolved ?? [])
                {
                    return "\(asker.name) gets \(resolved ?? []) for \(endpoint.name)"
                }
            }
        }
        return nil
    }

    private static func plain(_ endpoints: [Endpoint]) -> [Endpoint] {
        endpoints.map {
            var endpoint = $0
            endpoint.version = .none
            return endpoint
        }
    }
}
