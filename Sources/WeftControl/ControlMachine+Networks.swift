import WeftIPAM
import WeftModel
import WeftNet

/// Creating and removing networks.
extension ControlMachine {
    /// For this long, subnet and VNI of a removed network are not used again while others are free.
    private static let retirement: Duration = .seconds(60)

    mutating func createNetwork(
        _ spec: NetworkSpec, now: Instant, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Network {
        guard let cluster = state.cluster else { throw .noCluster }
        try NetworkRules.check(spec)
        if state.networkNames[spec.name] != nil {
            throw ControlError(.conflict, "network with name \(spec.name) already exists")
        }
        if spec.ingress, let present = networks.first(where: \.spec.ingress) {
            throw ControlError(
                .conflict, "rpc error: code = AlreadyExists desc = ingress network (\(present.id)) is already present")
        }
        let network = try Self.allocate(
            spec, cluster: cluster.spec, networks: networks, nodes: nodes, retired: retired, now: now, random: &random)
        state.put(.network(network))
        for (node, session) in sessions.sorted(by: { $0.key < $1.key }) where session.isOpen {
            grantFirstBlock(of: network.id, to: node)
        }
        return network
    }

    /// Chooses what the spec leaves open, and refuses what does not fit beside the networks and nodes there are.
    static func allocate(
        _ spec: NetworkSpec, cluster: ClusterSpec, networks: [Network], nodes: [Node],
        retired: [(subnet: IPv4Prefix, vni: VNI, until: Instant)] = [], now: Instant,
        random: inout some RandomNumberGenerator
    ) throws(ControlError) -> Network {
        let subnet: IPv4Prefix
        if let asked = spec.ipam.subnet {
            try checkFree(asked, networks: networks, nodes: nodes)
            subnet = asked
        } else {
            if spec.ipam.gateway != nil || spec.ipam.range != nil || !spec.ipam.auxiliaryAddresses.isEmpty {
                throw ControlError(
                    .invalid, "gateway, IP range and auxiliary addresses need a subnet: give it with --subnet")
            }
            let taken = networks.map(\.subnet) + nodes.flatMap(\.occupied)
            do throws(IPAMError) {
                subnet = try SubnetPool.choose(
                    pools: cluster.addressPools, length: cluster.subnetLength, avoiding: taken,
                    resting: retired.map(\.subnet))
            } catch {
                throw ControlError(.unavailable, error.description)
            }
        }
        let layout: SubnetLayout
        do throws(IPAMError) { layout = try SubnetLayout(subnet: subnet, ipam: spec.ipam) } catch {
            throw ControlError(.invalid, error.description)
        }
        return Network(
            id: .random(using: &random), createdAt: now, spec: spec,
            vni: try chooseVNI(spec, networks: networks, retired: retired.map(\.vni)), subnet: subnet,
            gateway: layout.gateway)
    }

    private static func chooseVNI(_ spec: NetworkSpec, networks: [Network], retired: [VNI]) throws(ControlError) -> VNI
    {
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

    private static func checkFree(_ subnet: IPv4Prefix, networks: [Network], nodes: [Node]) throws(ControlError) {
        if let other = networks.first(where: { $0.subnet.overlaps(subnet) }) {
            throw ControlError(
                .forbidden,
                "Pool overlaps with other one on this address space: \(subnet) overlaps with network \(other.spec.name) "
                    + "(\(other.subnet)); choose another --subnet")
        }
        for node in nodes {
            if let route = node.routeOverlapping(subnet) {
                throw ControlError(
                    .forbidden,
                    "the subnet \(subnet) overlaps with the route \(route) of node \(node.label): its containers could not reach "
                        + "what lies behind that route; choose another --subnet")
            }
            if let address = [node.dataPathAddress, node.address].compactMap(\.self).first(where: {
                subnet.contains($0)
            }) {
                throw ControlError(
                    .forbidden,
                    "the subnet \(subnet) holds the address \(address) of node \(node.label); choose another --subnet")
            }
        }
    }

    mutating func removeNetwork(_ text: String, now: Instant) throws(ControlError) -> Network {
        let network = try self.network(matching: text)
        if let user = state.addressUsers[network.id]?.values.min(), let endpoint = state.endpoints[user] {
            let host = state.nodes[endpoint.node]?.label ?? endpoint.node.rawValue
            throw ControlError(
                .failedPrecondition,
                "rpc error: code = FailedPrecondition desc = network \(network.id) is in use by endpoint \(endpoint.name) "
                    + "on node \(host)")
        }
        for lease in state.leases.values.filter({ $0.network == network.id }) {
            state.delete(StoreKey(kind: .lease, id: lease.id))
            restingLeases[lease.id] = nil
        }
        state.delete(StoreKey(kind: .network, id: network.id.rawValue))
        retired.append((network.subnet, network.vni, now + Self.retirement))
        return network
    }
}

extension Node {
    /// Address space that no overlay may use: the host's routes, but not its default route.
    var occupied: [IPv4Prefix] {
        routes + [dataPathAddress, address].compactMap { $0.map(IPv4Prefix.init(host:)) }
    }

    private var routes: [IPv4Prefix] { (description?.routes ?? []).filter { $0.length > 0 } }

    func routeOverlapping(_ subnet: IPv4Prefix) -> IPv4Prefix? { routes.sorted().first { $0.overlaps(subnet) } }
}
