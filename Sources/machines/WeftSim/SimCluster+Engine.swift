import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode

/// What container engines do: ask for an address, make an endpoint on it, name it, give the address back, or forget to.
extension SimCluster {
    func operateEngine() throws {
        guard let index = liveNodes().randomElement(using: &random) else { return }
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4: try reserve(index)
        case 4..<7: try attachPromised(index)
        case 7..<9: try renameEngineEndpoint(index)
        default: try tellEngineEndpoints(index)
        }
    }

    private func newRequest(_ index: Int) -> RequestID {
        let id = RequestID(nextRequest)
        nextRequest += 1
        nodes[index].requests.insert(id)
        return id
    }

    private func reserve(_ index: Int) throws {
        guard let network = nodes[index].agent?.networks.randomElement(using: &random) else { return }
        try reserve(index, .v4, for: SimNode.Promise(network: network.id), of: network)
    }

    private func reserve(
        _ index: Int, _ family: IPAddress.Family, for promise: SimNode.Promise, of network: Network
    ) throws {
        let address = random.chance(20) ? randomAddress(of: network, family) : nil
        let id = newRequest(index)
        nodes[index].promises[id] = promise
        nodes[index].promises[id]?.isWaiting = true
        note(
            "\(nodes[index].description.hostname) request \(id.rawValue): reserve \(address?.description ?? "any \(family)") of "
                + network.spec.name)
        try feed(index, .reserve(id, SubnetID(network.id, family), address))
    }

    private func attachPromised(_ index: Int) throws {
        let promises = nodes[index].promises.filter { !$0.value.isWaiting }.sorted { $0.key < $1.key }
        guard let (key, promise) = promises.randomElement(using: &random), let ipv4 = promise.ipv4 else { return }
        nodes[index].promises[key] = nil
        if promise.ipv6 == nil, random.chance(80), let network = nodes[index].agent?.network(promise.network),
            network.spec.ipv6
        {
            return try reserve(index, .v6, for: promise, of: network)
        }
        switch Int.random(in: 0..<10, using: &random) {
        case 0: break  // The engine died: nobody releases it.
        case 1, 2:
            try feed(index, .release(promise.network, .v4(ipv4)))
            if let ipv6 = promise.ipv6 { try feed(index, .release(promise.network, .v6(ipv6))) }
        default:
            let id = newRequest(index)
            let endpoint = EndpointID.random(using: &random)
            note("\(nodes[index].description.hostname) request \(id.rawValue): attach endpoint \(endpoint) at \(ipv4)")
            try feed(
                index,
                .attachEngine(
                    id,
                    EngineAttachment(
                        id: endpoint,
                        EndpointSpec(
                            network: promise.network, ipv4: ipv4, ipv6: promise.ipv6, mac: MACAddress(forIPv4: ipv4)),
                        sandbox: .random(using: &random))))
        }
    }

    private func renameEngineEndpoint(_ index: Int) throws {
        guard let endpoint = nodes[index].agent?.engineEndpoints.sorted().randomElement(using: &random) else { return }
        let id = newRequest(index)
        let name = "c\(nextName)"
        nextName += 1
        try feed(index, .rename(id, endpoint, sandbox: .random(using: &random), name: name, aliases: ["svc"]))
    }

    /// The engine lost one of its endpoints while weftd was down.
    private func tellEngineEndpoints(_ index: Int) throws {
        var endpoints = nodes[index].agent?.engineEndpoints ?? []
        if let lost = endpoints.sorted().randomElement(using: &random) { endpoints.remove(lost) }
        try feed(index, agent: .engineEndpointsFound(endpoints, asOf: now))
    }
}
