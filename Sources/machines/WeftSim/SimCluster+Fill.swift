import WeftControl
import WeftIPAM
import WeftModel
import WeftNet
import WeftNode

/// Once it is calm: every address of a network can be had, on any node, by name or not; a refusal means that something has it.
extension SimCluster {
    func fillNetworks() throws {
        for network in manager?.replica.networks ?? [] where network.subnet.length >= 27 && !network.spec.ingress {
            try fill(network)
            for _ in 0..<4 { try moveByName(network) }
        }
    }

    private func fill(_ network: Network) throws {
        while true {
            guard let index = liveNodes().randomElement(using: &random) else { return }
            let request = AttachRequest(EndpointSpec(network: network.id, name: newName()), sandbox: try newSandbox(index))
            let outcome = try attach(index, request)
            report.filled += 1
            guard case .failure(let error) = outcome else { continue }
            let free = freeAddresses(of: network)
            guard free.isEmpty else {
                throw failure("\(nodes[index].description.hostname) got no address of \(network.subnet), free are \(free): \(error)")
            }
            return
        }
    }

    /// A container ends on one node, and one with its address starts on another.
    private func moveByName(_ network: Network) throws {
        let nodes = liveNodes()
        guard let from = nodes.randomElement(using: &random), let to = nodes.filter({ $0 != from }).randomElement(using: &random),
            let endpoint = self.nodes[from].agent?.ownEndpoints.filter({ $0.network == network.id }).randomElement(using: &random)
        else { return }
        var request = AttachRequest(EndpointSpec(network: network.id, name: newName()), sandbox: try newSandbox(to))
        request.endpoint.ipv4 = endpoint.ipv4
        guard case .failure(let error) = try attach(to, request) else {
            throw failure("\(endpoint.ipv4) was given twice")
        }
        let host = self.nodes[from].description.hostname
        guard error.description.contains(host), endpoint.name.isEmpty || error.description.contains(endpoint.name) else {
            throw failure("the refusal of \(endpoint.ipv4) does not name \(endpoint.name) on \(host): \(error)")
        }
        let id = newCalmRequest(from)
        try feed(from, .detach(id, endpoint.id))
        // An engine releases the addresses by itself.
        for address in endpoint.addresses { try feed(from, .release(network.id, address)) }
        _ = try outcome(of: id)
        let answer = try attach(to, request)
        // A service that waited for an address of a full network was sooner.
        if let service = service(with: endpoint.ipv4, on: network), case .failure(let error) = answer,
            error.description.contains(service)
        {
            return
        }
        guard case .success(let moved) = answer, moved.ipv4 == endpoint.ipv4 else {
            throw failure("\(endpoint.ipv4) is free on \(host), and is not to be had on \(self.nodes[to].description.hostname)")
        }
    }

    private func service(with address: IPv4Address, on network: Network) -> String? {
        let services = manager?.replica.all(Service.self) ?? []
        return services.first { $0.addresses.contains { $0.network == network.id && $0.ipv4 == address } }?.spec.name
    }

    private func newName() -> String {
        defer { nextName += 1 }
        return "c\(nextName)"
    }

    private func newSandbox(_ index: Int) throws -> SandboxID {
        let sandbox = SandboxID.random(using: &random)
        nodes[index].sandboxes.insert(sandbox)
        _ = try place(sandbox, on: index)
        return sandbox
    }

    private func newCalmRequest(_ index: Int) -> RequestID {
        let id = RequestID(nextRequest)
        nextRequest += 1
        nodes[index].requests.insert(id)
        return id
    }

    private func attach(_ index: Int, _ request: AttachRequest) throws -> Result<Endpoint, AttachError> {
        let id = newCalmRequest(index)
        note(
            "\(nodes[index].description.hostname) request \(id.rawValue): attach \(request.endpoint.name) \(request.endpoint.ipv4?.description ?? "")"
        )
        try feed(index, .attach(id, request))
        return try outcome(of: id)
    }

    private func outcome(of id: RequestID) throws -> Result<Endpoint, AttachError> {
        let deadline = now + NodeMachine.patience + .seconds(2)
        while now < deadline {
            if let outcome = outcomes.removeValue(forKey: id) { return outcome }
            try run(until: now + .milliseconds(50))
        }
        throw failure("request \(id.rawValue) got no reply in time")
    }

    /// Addresses that nothing has, but for those that hosts lease that are gone.
    private func freeAddresses(of network: Network) -> [IPAddress] {
        guard let layout = try? SubnetLayout(network, .v4) else { return [] }
        let live = liveNodes()
        var taken: Set<IPAddress> = []
        for index in live {
            guard let agent = nodes[index].agent else { continue }
            for endpoint in agent.ownEndpoints where endpoint.network == network.id { taken.formUnion(endpoint.addresses) }
            for place in agent.reservedPlaces where place.network == network.id { taken.insert(place.address) }
        }
        let members = Set(live.map { nodes[$0].id })
        let away = manager?.replica.leases.filter { $0.network == network.id && !members.contains($0.node) }.map(\.block) ?? []
        return (0..<1 << (network.subnet.width - network.subnet.length)).compactMap { layout.subnet.network.advanced(by: $0) }
            .filter { address in
                layout.isAssignable(address) && !taken.contains(address) && !away.contains { $0.contains(address) }
            }
    }
}
