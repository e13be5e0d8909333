import WeftIPAM
import WeftModel
import WeftNet

/// Creating and removing networks.
extension Allocation {
    func createNetwork(
        _ spec: NetworkSpec, in round: inout Round, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Network {
        guard let cluster = round.tables.cluster else { throw .noCluster }
        let spec = spec.completed(by: cluster.spec)
        try NetworkRules.check(spec)
        if round.tables.networkNames[spec.name] != nil {
            throw ControlError(.conflict, "network with name \(spec.name) already exists")
        }
        let name = spec.name.lowercased()
        if let other = round.tables.networkNames.keys.filter({ $0.lowercased() == name }).min() {
            throw ControlError(
                .conflict, "network with name \(other) already exists: names that differ by case only are one name in DNS")
        }
        if spec.ingress, let present = round.tables.sortedNetworks.first(where: \.spec.ingress) {
            throw ControlError(
                .conflict, "rpc error: code = AlreadyExists desc = ingress network (\(present.id)) is already present")
        }
        let network = try Self.allocate(
            spec, cluster: cluster, networks: round.tables.sortedNetworks, nodes: round.tables.sortedNodes,
            retired: retired.map(\.network) + round.draft.removedNetworks, now: round.wallClock, random: &random)
        if spec.isEncrypted, !KeyRotation.isNeeded(in: round) { KeyRotation.begin(in: &round) }
        round.draft.put(network)
        Self.grantFirstBlocks(of: network, in: &round)
        return network
    }

    /// Chooses what the spec leaves open, and refuses what does not fit beside the networks and nodes there are.
    static func allocate(
        _ spec: NetworkSpec, cluster: Cluster, networks: [Network], nodes: [Node], retired: [Network] = [], now: Instant,
        random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Network {
        func layout(
            _ family: IPAddress.Family, _ ipam: IPAMConfig<IPAddress>, pools: [AnyIPPrefix], length: Int
        ) throws(ControlError) -> SubnetLayout {
            try Self.layout(
                ipam, pools: pools, length: length, networks: networks, nodes: nodes,
                retired: retired.compactMap { $0.subnet(family) })
        }
        let ipv4 = try layout(
            .v4, spec.ipam.erased, pools: cluster.spec.addressPools.map(AnyIPPrefix.v4), length: cluster.spec.subnetLength)
        var ipv6: SubnetLayout?
        if let ipam6 = spec.ipam6 {
            ipv6 = try layout(.v6, ipam6.erased, pools: [.v6(cluster.id.uniqueLocalPrefix)], length: 64)
        }
        guard let subnet = ipv4.subnet.v4, let gateway = ipv4.gateway.v4 else {
            throw ControlError(.invalid, "the subnet \(ipv4.subnet) is none of IPv4")
        }
        return Network(
            id: .random(using: &random), createdAt: now, spec: spec,
            vni: try chooseVNI(spec, networks: networks, retired: retired.map(\.vni)), subnet: subnet, gateway: gateway,
            subnet6: ipv6?.subnet.v6, gateway6: ipv6?.gateway.v6)
    }

    /// The subnet asked for, or the next free one of the pools.
    private static func layout(
        _ ipam: IPAMConfig<IPAddress>, pools: [AnyIPPrefix], length: Int, networks: [Network], nodes: [Node],
        retired: [AnyIPPrefix]
    ) throws(ControlError) -> SubnetLayout {
        let subnet: AnyIPPrefix
        if let asked = ipam.subnet {
            try checkFree(asked, networks: networks, nodes: nodes)
            subnet = asked
        } else {
            if ipam.gateway != nil || ipam.range != nil || !ipam.auxiliaryAddresses.isEmpty {
                throw ControlError(
                    .invalid, "gateway, IP range and auxiliary addresses need a subnet: give it with --subnet")
            }
            do throws(IPAMError) {
                subnet = try SubnetPool.choose(
                    pools: pools, length: length, avoiding: networks.flatMap(\.prefixes) + nodes.flatMap(\.occupied),
                    resting: retired)
            } catch {
                throw ControlError(.unavailable, error.description)
            }
        }
        do throws(IPAMError) { return try SubnetLayout(subnet: subnet, ipam: ipam) } catch {
            throw ControlError(.invalid, error.description)
        }
    }

    private static func chooseVNI(_ spec: NetworkSpec, networks: [Network], retired: [VNI]) throws(ControlError) -> VNI {
        if let vni = try NetworkRules.vni(spec) {
            if let user = networks.first(where: { $0.vni == vni }) {
                throw ControlError(.conflict, "the VNI \(vni) is already that of network \(user.spec.name)")
            }
            return vni
        }
        do throws(IPAMError) {
            return try VNIPool.lowestFree(used: Set(networks.map(\.vni)), resting: Set(retired))
        } catch {
            throw ControlError(.unavailable, error.description)
        }
    }

    private static func checkFree(_ subnet: AnyIPPrefix, networks: [Network], nodes: [Node]) throws(ControlError) {
        for network in networks {
            guard let other = network.prefixes.first(where: { $0.overlaps(subnet) }) else { continue }
            throw ControlError(
                .forbidden,
                "Pool overlaps with other one on this address space: \(subnet) overlaps with network "
                    + "\(network.spec.name) (\(other)); choose another --subnet")
        }
        for node in nodes {
            if let route = node.routeOverlapping(subnet) {
                throw ControlError(
                    .forbidden,
                    "the subnet \(subnet) overlaps with the route \(route) of node \(node.label): its containers could not reach "
                        + "what lies behind that route; choose another --subnet")
            }
            if let address = node.addresses.first(where: { subnet.contains($0) }) {
                throw ControlError(
                    .forbidden,
                    "the subnet \(subnet) holds the address \(address) of node \(node.label); choose another --subnet")
            }
        }
    }

    func removeNetwork(_ text: String, in round: inout Round) throws(ControlError) -> Network {
        let network = try round.tables.network(matching: text)
        try checkUnused(network, in: round)
        // The nodes' own go with the ingress network.
        for endpoint in Set((round.tables.addressUsers[network.id] ?? [:]).values) { round.draft.delete(Endpoint.key(endpoint)) }
        for lease in round.tables.leases.values.filter({ $0.network == network.id }) {
            round.draft.delete(AddressLease.key(lease.id))
        }
        // A service that has moved to another network, where it waits for an address, has that of the network it left.
        for var service in round.tables.services.values where service.addresses.contains(where: { $0.network == network.id }) {
            service.addresses.removeAll { $0.network == network.id }
            service.updatedAt = round.wallClock
            round.draft.put(service)
        }
        round.draft.delete(Network.key(network.id))
        return network
    }
}

extension Allocation {
    /// Refuses a network that services refer to, tasks are on, or endpoints. What only tasks are on that are to end is refused as
    /// `ending`, so that who removes a service's network right after the service need not try again.
    private func checkUnused(_ network: Network, in round: Round) throws(ControlError) {
        func refuse(_ user: String, _ kind: ControlError.Kind = .failedPrecondition) -> ControlError {
            ControlError(kind, "rpc error: code = FailedPrecondition desc = network \(user)")
        }
        let found = round.tables.found
        if let service = found.networkServices[network.id]?.min() {
            throw refuse("\(network.id) is in use by service \(service)")
        }
        if network.spec.ingress, let service = found.ingressPorts.values.joined().min() {
            throw ControlError(
                .failedPrecondition,
                "rpc error: code = FailedPrecondition desc = ingress network cannot be removed because service \(service) depends on it")
        }
        let tasks = (found.networkTasks[network.id] ?? []).sorted()
        if let task = tasks.first(where: { round.tables.tasks[$0]?.isWanted ?? false }) {
            throw refuse("\(network.id) is in use by task \(task)")
        }
        let endpoints = (round.tables.addressUsers[network.id] ?? [:]).values.sorted().compactMap { round.tables.endpoints[$0] }
            .filter { $0.sandbox != .hostIngress }
        func isEnding(_ endpoint: Endpoint) -> Bool {
            endpoint.task.map { !(round.tables.tasks[$0.task]?.isWanted ?? false) } ?? false
        }
        if let endpoint = endpoints.first(where: { !isEnding($0) }) ?? endpoints.first {
            let host = round.tables.nodes[endpoint.node]?.label ?? endpoint.node.rawValue
            throw refuse(
                "\(network.spec.name) is in use by endpoint \(endpoint.name) on node \(host)",
                isEnding(endpoint) ? .ending : .failedPrecondition)
        }
        if let task = tasks.first { throw refuse("\(network.id) is in use by task \(task)", .ending) }
    }
}

extension Network {
    fileprivate var prefixes: [AnyIPPrefix] { subnets.compactMap { subnet($0.family) } }
}

extension Node {
    /// Address space that no overlay may use: the host's routes, but not its default route.
    var occupied: [AnyIPPrefix] { routes + addresses.map(AnyIPPrefix.init(host:)) }

    fileprivate var addresses: [IPAddress] { [dataPathAddress, address].compactMap { $0.map(IPAddress.v4) } }

    private var routes: [AnyIPPrefix] { (description?.routes ?? []).filter { $0.length > 0 }.map(AnyIPPrefix.v4) }

    func routeOverlapping(_ subnet: AnyIPPrefix) -> AnyIPPrefix? { routes.sorted().first { $0.overlaps(subnet) } }
}
