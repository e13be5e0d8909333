import CBPF
import CDatapathABI
import Synchronization
package import WeftDatapath
package import WeftNet

extension MapSizes {
    /// For a node of a swarm of any size. The three big tables take 24 MB when empty.
    package static let standard = MapSizes(
        endpoints: WEFT_MAX_LOCAL_ENDPOINTS, forwardEntries: WEFT_MAX_FORWARD_ENTRIES,
        forward6Entries: WEFT_MAX_FORWARD6_ENTRIES, vteps: WEFT_MAX_VTEP_ENTRIES, subnets: WEFT_MAX_SUBNETS,
        services: WEFT_MAX_SERVICES, servicePages: WEFT_MAX_SERVICE_PAGES, backends: WEFT_MAX_BACKENDS,
        published: WEFT_MAX_PUBLISHED, hostAddresses: WEFT_MAX_HOST_ADDRESSES, flows: WEFT_MAX_FLOWS,
        formerBackends: WEFT_MAX_FORMER_BACKENDS)

    /// For many nodes on one machine.
    package static let small = MapSizes(
        endpoints: 4096, forwardEntries: 65536, forward6Entries: 65536, vteps: 16384, subnets: 4096, services: 8192,
        servicePages: 65536, backends: 65536, published: 4096, hostAddresses: 1024, flows: 4096,
        formerBackends: 1024)
}

extension DatapathPrograms {
    // MARK: Node

    /// Nil before the first `setConfig`.
    package func config() throws(BPFError) -> DatapathConfig? { try configMap.get(0).flatMap(DatapathConfig.init) }
    package func setConfig(_ config: DatapathConfig) throws(BPFError) { try configMap.put(0, config.value) }

    // MARK: Local endpoints, by the host end's interface index

    package func endpoints() throws(BPFError) -> [UInt32: EndpointEntry] {
        var found: [UInt32: EndpointEntry] = [:]
        for (key, value) in try endpointMap.all() {
            guard let endpoint = EndpointEntry(value) else {
                try endpointMap.remove(key)
                continue
            }
            found[key.ifindex] = endpoint
        }
        return found
    }

    /// Sets the entry; counters start at 0 unless the interface has some.
    package func putEndpoint(_ endpoint: EndpointEntry, interface: UInt32) throws(BPFError) {
        try counterMap.putIfAbsent(weft_counter_key(ifindex: interface))
        try endpointMap.put(weft_endpoint_key(ifindex: interface), endpoint.value)
    }

    /// Takes the entry and its counters away.
    package func removeEndpoint(interface: UInt32) throws(BPFError) {
        try endpointMap.remove(weft_endpoint_key(ifindex: interface))
        if interface != 0 { try counterMap.remove(weft_counter_key(ifindex: interface)) }
        try removeNamespace(of: interface)
        for transport in ResolverTransport.allCases {
            try resolverShareMap.remove(weft_resolver_share_key(ifindex: interface, transport: transport.number))
        }
    }

    // MARK: The resolver

    /// All that waited for the resolver has been taken: every endpoint has its whole share again.
    package func beginResolverRound(_ transport: ResolverTransport) throws(BPFError) {
        let round = resolverRounds.withLock { rounds in
            rounds[transport.number, default: 0] &+= 1
            return rounds[transport.number, default: 0]
        }
        try resolverRoundMap.put(transport.number, round)
    }

    // MARK: Where addresses live

    package func forward() throws(BPFError) -> [OverlayAddress: ForwardTarget] {
        let (entries, entries6) = (try forwardMap.all(), try forward6Map.all())
        var found: [OverlayAddress: ForwardTarget] = Dictionary(minimumCapacity: entries.count + entries6.count)
        for (key, value) in entries {
            guard let name = OverlayAddress(key), let target = ForwardTarget(value) else {
                try forwardMap.remove(key)
                continue
            }
            found[name] = target
        }
        for (key, value) in entries6 {
            guard let name = OverlayAddress(key), let target = ForwardTarget(value) else {
                try forward6Map.remove(key)
                continue
            }
            found[name] = target
        }
        return found
    }

    package func putForward(_ key: OverlayAddress, _ target: ForwardTarget) throws(BPFError) {
        switch key.inKernel {
        case .v4(let key): try forwardMap.put(key, target.value)
        case .v6(let key): try forward6Map.put(key, target.value)
        }
    }

    /// One system call for all of a family; after a failure some of them are set.
    package func putForward(_ entries: [(OverlayAddress, ForwardTarget)]) throws(BPFError) {
        try forwardMap.put(entries.compactMap { entry in entry.0.inKernel.v4.map { ($0, entry.1.value) } })
        try forward6Map.put(entries.compactMap { entry in entry.0.inKernel.v6.map { ($0, entry.1.value) } })
    }

    /// Who is connected to a backend is told from then on that it is gone.
    package func removeForward(_ key: OverlayAddress) throws(BPFError) {
        switch key.inKernel {
        case .v4(let key):
            if try forwardMap.get(key)?.isBackend == true {
                try formerMap.put(weft_former_key(vni: key.vni, family: 4, address: (key.ipv4, 0, 0, 0)), weft_former())
            }
            try forwardMap.remove(key)
        case .v6(let key):
            if try forward6Map.get(key)?.isBackend == true {
                try formerMap.put(weft_former_key(vni: key.vni, family: 6, address: key.ipv6), weft_former())
            }
            try forward6Map.remove(key)
        }
    }

    // MARK: Members

    package func vteps() throws(BPFError) -> [Membership: MemberTunnel] {
        var found: [Membership: MemberTunnel] = [:]
        for (key, value) in try vtepMap.all() {
            guard let membership = Membership(key), let tunnel = MemberTunnel(value) else {
                try vtepMap.remove(key)
                continue
            }
            found[membership] = tunnel
        }
        return found
    }

    package func putVTEPs(_ members: [(Membership, MemberTunnel)]) throws(BPFError) {
        try vtepMap.put(members.map { ($0.key, $1.value) })
    }

    package func removeVTEP(_ membership: Membership) throws(BPFError) { try vtepMap.remove(membership.key) }

    // MARK: Subnets of the swarm

    package func subnets() throws(BPFError) -> [AnyIPPrefix: VNI] {
        var found: [AnyIPPrefix: VNI] = [:]
        for (key, value) in try subnetMap.all() {
            guard let prefix = IPv4Prefix(key), let vni = VNI(value.vni) else {
                try subnetMap.remove(key)
                continue
            }
            found[.v4(prefix)] = vni
        }
        for (key, value) in try subnet6Map.all() {
            guard let prefix = IPv6Prefix(key), let vni = VNI(value.vni) else {
                try subnet6Map.remove(key)
                continue
            }
            found[.v6(prefix)] = vni
        }
        return found
    }

    package func putSubnet(_ subnet: AnyIPPrefix, _ vni: VNI) throws(BPFError) {
        if let subnet = subnet.v4 { try subnetMap.put(subnet.key, weft_subnet(vni: vni.rawValue)) }
        if let subnet = subnet.v6 { try subnet6Map.put(subnet.key, weft_subnet(vni: vni.rawValue)) }
    }

    package func removeSubnet(_ subnet: AnyIPPrefix) throws(BPFError) {
        if let subnet = subnet.v4 { try subnetMap.remove(subnet.key) }
        if let subnet = subnet.v6 { try subnet6Map.remove(subnet.key) }
    }

    // MARK: Counters

    /// By the host end's interface index; 0 holds what was dropped on the underlay or from an unknown interface.
    package func counters() throws(BPFError) -> [UInt32: EndpointCounters] {
        try counterMap.allCPUs().reduce(into: [:]) { sums, entry in
            for value in entry.1 { sums[entry.0.ifindex, default: EndpointCounters()].add(value) }
        }
    }
}

extension weft_forward {
    fileprivate var isBackend: Bool { UInt32(flags) & WEFT_FORWARD_BACKEND.rawValue != 0 }
}

extension BPFMap where Key == weft_counter_key, Value == weft_counter {
    /// Makes an entry of zeros on every CPU.
    func putIfAbsent(_ key: Key) throws(BPFError) {
        let cpus = try call("count CPUs") { cbpf_possible_cpus() }
        let zeros = [UInt8](repeating: 0, count: Int(cpus) * ((MemoryLayout<Value>.size + 7) / 8 * 8))
        try putIfAbsent(key, rawValue: zeros)
    }
}
