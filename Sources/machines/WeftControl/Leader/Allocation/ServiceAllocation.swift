import WeftIPAM
import WeftModel
import WeftNet

/// Addresses and published ports for services. What cannot be had is told in the service, and tried again when something changes that it
/// may be had by.
struct ServiceAllocation: Sendable {
    /// Numbers for who asks for none, as Docker's.
    static let dynamicPorts: ClosedRange<UInt16> = 30000...32767

    /// Services that something concerns, and that were not looked at since.
    private var concerned: Set<ServiceID> = []
    private var isNew = true
    /// Services that lack something.
    private var lacking: Set<ServiceID> = []
    /// Something was given back, or made.
    private var mayBeHad = false
    /// Subnets whose addresses nodes lease, of which services lack one; and when nodes were asked for it.
    private(set) var wishes: [Wish] = []
    private var asked: [ServiceID: Instant] = [:]

    /// So often what lacks something is tried again, and nodes are asked.
    private static let interval: Duration = .seconds(10)

    struct Wish: Sendable {
        let service: ServiceID
        let subnet: SubnetID
    }

    mutating func startOver() { isNew = true }

    mutating func noted(_ changes: [Replica.Change]) {
        for change in changes { note(change.key) }
    }

    private mutating func note(_ key: StoreKey) {
        switch key.kind {
        case Service.kind: concerned.insert(ServiceID(key.id))
        case Network.kind, AddressLease.kind: mayBeHad = true
        default: break
        }
    }

    mutating func advance(_ round: inout Round) {
        for (key, _) in round.draft.changes(since: 0) { note(key) }
        if isNew { concerned.formUnion(round.tables.services.keys) }
        isNew = false
        if mayBeHad || !concerned.isEmpty { concerned.formUnion(lacking) }
        mayBeHad = false
        wishes = []
        if round.isTick {
            for id in lacking { if let time = asked[id], round.now - time >= Self.interval { concerned.insert(id) } }
        }
        guard !concerned.isEmpty else { return }
        let ids = concerned.sorted()
        concerned = []
        for id in ids {
            guard let service = round.tables.services[id], let lack = Self.settle(service, in: &round) else {
                lacking.remove(id)
                asked[id] = nil
                continue
            }
            lacking.insert(id)
            if let time = asked[id], round.now - time < Self.interval { continue }
            asked[id] = round.now
            if let subnet = lack.subnet { wishes.append(Wish(service: id, subnet: subnet)) }
        }
    }

    /// Gives a service what it lacks, and takes from it what it has no use for. Returns what it lacks.
    private static func settle(_ old: Service, in round: inout Round) -> Lack? {
        var service = old
        var lack: Lack?
        service.problem = nil
        let mark = round.mark
        do throws(Lack) {
            service.ports = try ports(for: old, in: round)
            service.addresses = try addresses(for: service, in: &round)
        } catch {
            // All of them or none: what was leased for it is free.
            round.undo(to: mark)
            lack = error
            service.problem = error.sentence
            // Tasks of before may serve on these.
            service.ports = old.ports
        }
        if service != old {
            service.updatedAt = round.wallClock
            round.draft.put(service)
        }
        return lack
    }

    private struct Lack: Error {
        let sentence: String
        /// Of which there is no address, though nodes may have some to give.
        var subnet: SubnetID?
    }

    // MARK: Ports

    private static func ports(for service: Service, in round: borrowing Round) throws(Lack) -> [PortConfig] {
        var ports: [PortConfig] = []
        var numbers = Set((service.spec.endpoint?.ports ?? []).filter { $0.mode == .ingress }.compactMap(\.number))
        for number in numbers.sorted() {
            if let holder = holder(of: number, beside: service, in: round) {
                throw Lack(sentence: PortRules.taken(number, by: holder, as: .ingress))
            }
        }
        for wanted in service.spec.endpoint?.ports ?? [] {
            var port = wanted
            if wanted.mode == .ingress, wanted.published == 0 {
                port = try numbered(wanted, of: service, besides: numbers, in: round)
            }
            if let number = port.number { numbers.insert(number) }
            ports.append(port)
        }
        return ports
    }

    /// The service that has a port at every node, where this one wants it.
    private static func holder(of number: PortNumber, beside own: Service, in round: borrowing Round) -> Service? {
        for id in (round.tables.found.ingressPorts[number] ?? []).sorted() where id != own.id {
            guard let other = round.tables.services[id], PortRules.meet(own.spec, other.spec, at: number) else { continue }
            if other.ports.contains(where: { $0.mode == .ingress && $0.number == number }) { return other }
        }
        return nil
    }

    /// The number that it has already, or the first that nobody has.
    private static func numbered(
        _ wanted: PortConfig, of service: Service, besides taken: Set<PortNumber>, in round: borrowing Round
    ) throws(Lack) -> PortConfig {
        let found = round.tables.found
        func isFree(_ port: PortConfig) -> Bool {
            guard let number = port.number, !taken.contains(number) else { return false }
            return (found.ingressPorts[number] ?? []).isSubset(of: [service.id]) && found.hostPorts[number] == nil
        }
        func isSame(_ port: PortConfig) -> Bool {
            var port = port
            port.published = 0
            return port == wanted
        }
        if let own = service.ports.first(where: { isSame($0) && isFree($0) && dynamicPorts.contains($0.published) }) { return own }
        for number in dynamicPorts {
            var port = wanted
            port.published = number
            if isFree(port) { return port }
        }
        throw Lack(
            sentence:
                "no port of \(dynamicPorts.lowerBound)-\(dynamicPorts.upperBound) is free for \(wanted.target)/\(wanted.transport.rawValue)"
        )
    }

    // MARK: Addresses

    private static func addresses(for service: Service, in round: inout Round) throws(Lack) -> [VirtualAddress] {
        guard service.spec.endpoint?.mode ?? .vip == .vip else { return [] }
        var addresses: [VirtualAddress] = []
        for network in try networks(of: service, in: round) {
            if let own = service.addresses.first(where: { $0.network == network.id && isLeased($0, to: service, in: round) }) {
                addresses.append(own)
                continue
            }
            guard let ipv4 = lease(network, .v4, to: service, in: &round)?.v4 else { throw full(network, .v4) }
            var address = VirtualAddress(network: network.id, ipv4: ipv4)
            if network.subnet6 != nil {
                guard let ipv6 = lease(network, .v6, to: service, in: &round)?.v6 else { throw full(network, .v6) }
                address.ipv6 = ipv6
            }
            addresses.append(address)
        }
        return addresses
    }

    /// Those of the spec, and the ingress network where a port is published at every node.
    private static func networks(of service: Service, in round: borrowing Round) throws(Lack) -> [Network] {
        var networks: [Network] = []
        for target in service.spec.task.networks.map(\.target) where !NetworkSpec.predefinedNames.contains(target) {
            guard let network = round.tables.networks[NetworkID(target)] else { throw Lack(sentence: "network \(target) not found") }
            if !networks.contains(where: { $0.id == network.id }) { networks.append(network) }
        }
        guard service.ports.contains(where: { $0.mode == .ingress }) else { return networks }
        guard let ingress = round.tables.sortedNetworks.first(where: \.spec.ingress) else {
            throw Lack(sentence: "there is no ingress network: make one with docker network create --driver overlay --ingress")
        }
        return networks.contains { $0.id == ingress.id } ? networks : networks + [ingress]
    }

    private static func isLeased(_ address: VirtualAddress, to service: Service, in round: borrowing Round) -> Bool {
        guard (round.tables.networks[address.network]?.subnet6 == nil) == (address.ipv6 == nil) else { return false }
        return address.leases(of: service.id).allSatisfy { round.tables.leases[$0.id]?.node == $0.node }
    }

    private static func lease(
        _ network: Network, _ family: IPAddress.Family, to service: Service, in round: inout Round
    ) -> IPAddress? {
        guard let address = round.tables.subnetLeases[SubnetID(network.id, family)]?.lastFreeAddress() else { return nil }
        round.draft.put(AddressLease(network: network.id, block: AnyIPPrefix(host: address), node: NodeID(service.id.rawValue)))
        return address
    }

    private static func full(_ network: Network, _ family: IPAddress.Family) -> Lack {
        let subnet = network.subnet(family)?.description ?? ""
        return Lack(
            sentence: "could not find an available IP while allocating VIP: all addresses of network \(network.spec.name) (\(subnet)) "
                + "are leased", subnet: SubnetID(network.id, family))
    }
}

extension VirtualAddress {
    /// A service leases its addresses as nodes do.
    func leases(of service: ServiceID) -> [AddressLease] {
        ([.v4(ipv4)] + (ipv6.map { [IPAddress.v6($0)] } ?? [])).map {
            AddressLease(network: network, block: AnyIPPrefix(host: $0), node: NodeID(service.rawValue))
        }
    }
}

extension Service {
    var leases: [AddressLease] { addresses.flatMap { $0.leases(of: id) } }
}
