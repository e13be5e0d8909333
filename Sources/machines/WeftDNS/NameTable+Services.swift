package import WeftModel
import WeftNet
import WeftWire

/// Names of services. A service's backends are endpoints, which come and go by themselves.
extension NameTable {
    /// Adds a service, or replaces the one with the same identifier.
    package mutating func insert(_ service: ServiceView) {
        guard services[service.id] != service else { return }
        removeService(service.id)
        services[service.id] = service
        for (network, names) in Self.names(of: service) {
            var scope = scopes.removeValue(forKey: network) ?? Scope()
            scope.userCount += 1
            for (name, meaning) in names { scope.services[name, default: Few()].insert(meaning) }
            scopes[network] = scope
        }
        for address in service.addresses.flatMap(\.both) { virtualAddresses[address, default: Few()].insert(service.id) }
    }

    /// Removes a service; its tasks' endpoints go by themselves. Unknown identifiers are ignored.
    package mutating func removeService(_ id: ServiceID) {
        guard let service = services.removeValue(forKey: id) else { return }
        for (network, names) in Self.names(of: service) {
            guard var scope = scopes.removeValue(forKey: network) else { continue }
            scope.userCount -= 1
            for (name, meaning) in names { Self.remove(meaning, at: name, from: &scope.services) }
            scopes[network] = scope
            forgetScopeIfEmpty(network)
        }
        for address in service.addresses.flatMap(\.both) { Self.remove(id, at: address, from: &virtualAddresses) }
    }

    /// Every name of the service's, with what it leads to, on each of its networks: those of its spec, and the ingress network where
    /// it has an address.
    private static func names(of service: ServiceView) -> [NetworkID: [(DNSName, ServiceName)]] {
        var texts: [NetworkID: [String]] = [:]
        for address in service.addresses { texts[address.network] = [service.name] }
        for network in service.networks { texts[NetworkID(network.target)] = [service.name] + network.aliases }
        return texts.mapValues { texts in
            distinct(texts).map { ($0, .service(service.id)) }
                + distinct(texts.map { "tasks." + $0 }).map { ($0, .tasks(service.id)) }
        }
    }

    /// What a service's name leads to on one network.
    func addresses(of name: ServiceName, on network: NetworkID) -> [IPAddress] {
        switch name {
        case .tasks(let id): return backendAddresses(of: id, on: network)
        case .service(let id):
            guard let service = services[id], service.mode == .vip else { return backendAddresses(of: id, on: network) }
            return service.addresses.filter { $0.network == network }.flatMap(\.both)
        }
    }

    /// Those that new connections may go to.
    private func backendAddresses(of id: ServiceID, on network: NetworkID) -> [IPAddress] {
        var found: [IPAddress] = []
        scopes[network]?.tasks[id]?.forEach { id in
            if let endpoint = endpoints[id], endpoint.task?.rotation == .serving, isUp(endpoint) { found += endpoint.addresses }
        }
        return found
    }

    /// `service.network` of a service whose own address it is, to one who sees `view`.
    func serviceName(of address: IPAddress, in view: View) -> DNSName? {
        var owner: DNSName?
        virtualAddresses[address]?.forEach { id in
            guard let service = services[id], let name = DNSName(service.name) else { return }
            for own in service.addresses where own.both.contains(address) && view.networks.contains(own.network) {
                let full = scopes[own.network]?.name.flatMap { name.appending($0) } ?? name
                owner = owner.map { $0.description < full.description ? full : $0 } ?? full
            }
        }
        return owner
    }
}

extension VirtualAddress {
    /// IPv4's first.
    fileprivate var both: [IPAddress] { [.v4(ipv4)] + (ipv6.map { [.v6($0)] } ?? []) }
}
