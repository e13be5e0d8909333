import WeftAgentCore
import WeftControl
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode

/// What users and fate do.
extension SimCluster {
    func operate() throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: try attach()
        case 35..<45: try operateEngine()
        case 45..<65: try detach()
        case 65..<70: try endSandbox()
        case 70..<78: try createNetwork()
        case 78..<82: try removeNetwork()
        case 82..<84: try changeMembership()
        case 84..<86: try command(.rotateToken(.worker))
        case 86..<88: try replaceRoot()
        case 88: try changeMTU()
        case 92: try rotateKeys()
        case 89..<92: try changeServices()
        default: if options.faults { fault() }
        }
    }

    func liveNodes() -> [Int] { nodes.indices.filter { nodes[$0].core != nil && !nodes[$0].isGone } }

    func attach() throws {
        guard let index = liveNodes().randomElement(using: &random), let agent = nodes[index].agent,
            let network = agent.networks.randomElement(using: &random)
        else { return }
        let sandbox: SandboxID
        if random.chance(30), let old = nodes[index].sandboxes.sorted().randomElement(using: &random) {
            sandbox = old
        } else {
            sandbox = .random(using: &random)
            nodes[index].sandboxes.insert(sandbox)
        }
        guard try place(sandbox, on: index) else { return }
        var wanted = EndpointSpec(network: network.id, name: "c\(nextName)", aliases: ["svc"])
        nextName += 1
        if random.chance(20) { wanted.ipv4 = randomAddress(of: network, .v4)?.v4 }
        if random.chance(20) { wanted.ipv6 = randomAddress(of: network, .v6)?.v6 }
        let id = RequestID(nextRequest)
        nextRequest += 1
        nodes[index].requests.insert(id)
        note(
            "\(nodes[index].description.hostname) request \(id.rawValue): attach \(wanted.name) to \(network.spec.name) \(wanted.ipv4?.description ?? "") \(wanted.ipv6?.description ?? "")"
        )
        try feed(index, .attach(id, AttachRequest(wanted, sandbox: sandbox)))
    }

    /// Any address of a subnet, those that nobody may have among them; of a wide one, a low one or one of the first blocks.
    func randomAddress(of network: Network, _ family: IPAddress.Family) -> IPAddress? {
        guard let subnet = network.subnet(family) else { return nil }
        let size = 1 << min(8, subnet.width - subnet.length)
        let isUpper = subnet.family == .v6 && random.chance(50)
        let base = isUpper ? subnet.subprefix(length: subnet.length + 1, index: 1)?.network : subnet.network
        return base?.advanced(by: Int.random(in: 0..<size, using: &random))
    }

    private func detach() throws {
        guard let index = liveNodes().randomElement(using: &random),
            let endpoint = nodes[index].agent?.ownEndpoints.randomElement(using: &random)
        else { return }
        let id = RequestID(nextRequest)
        nextRequest += 1
        nodes[index].requests.insert(id)
        note("\(nodes[index].description.hostname) request \(id.rawValue): detach \(endpoint.name) \(endpoint.ipv4)")
        let isEngine = nodes[index].agent?.engineEndpoints.contains(endpoint.id) ?? false
        try feed(index, .detach(id, endpoint.id))
        if isEngine, random.chance(80) {
            for address in endpoint.addresses { try feed(index, .release(endpoint.network, address)) }
        }
    }

    private func endSandbox() throws {
        guard let index = nodes.indices.filter({ !nodes[$0].isGone }).randomElement(using: &random),
            let sandbox = nodes[index].sandboxes.sorted().randomElement(using: &random)
        else { return }
        nodes[index].sandboxes.remove(sandbox)
        // Its interfaces go with it, whether weftd runs or not.
        let ended = nodes[index].interfaces.filter { $0.value.sandbox == sandbox }.keys
        nodes[index].kernel.kernel.endNamespace(SimNode.namespacePath(of: sandbox), of: Set(ended))
        try feed(index, agent: .sandboxGone(sandbox))
    }

    func createNetwork() throws { try command(.createNetwork(randomNetwork())) }

    func randomNetwork() -> NetworkSpec {
        var spec = NetworkSpec(name: "n\(Int.random(in: 1...8, using: &random))")
        spec.attachable = true
        if random.chance(30) { spec.options[NetworkSpec.encryptedOption] = "" }
        if random.chance(40) {
            let length = Int.random(in: 26...29, using: &random)
            let base = IPv4Address(rawValue: 10 << 24 | 77 << 16 | UInt32(Int.random(in: 0...3, using: &random)) << 8)
            spec.ipam.subnet = IPv4Prefix(base, length: length)
        }
        if random.chance(50) {
            spec.ipam6 = IPAMConfig()
            if random.chance(40) {
                let base = IPv6Address(rawValue: 0xfd77 << 112 | UInt128(Int.random(in: 0...3, using: &random)) << 8)
                spec.ipam6?.subnet = IPv6Prefix(base, length: Int.random(in: 117...120, using: &random))
            }
        }
        return spec
    }

    private func removeNetwork() throws {
        guard let network = manager?.replica.networks.filter({ !$0.spec.ingress }).randomElement(using: &random) else { return }
        try command(.removeNetwork(network.spec.name))
    }

    /// Services come, change and go. None of their tasks runs here; their addresses are leased beside those of nodes.
    private func changeServices() throws {
        guard let replica = manager?.replica else { return }
        let known = replica.all(Service.self)
        let networks = replica.networks.filter { _ in random.chance(40) }.filter { !$0.spec.ingress }
        if let service = known.randomElement(using: &random), known.count > 2 || random.chance(50) {
            if random.chance(60) { return try command(.removeService(service.id)) }
            var spec = service.spec
            spec.task.networks = networks.map { TaskNetwork(target: $0.id.rawValue) }
            return try command(.updateService(service.id, version: service.version, spec))
        }
        var spec = ServiceSpec(name: "s\(Int.random(in: 1...8, using: &random))", task: TaskSpec(container: ContainerSpec(image: "app")))
        spec.mode = .replicated(0)
        spec.task.networks = networks.map { TaskNetwork(target: $0.id.rawValue) }
        if random.chance(50) {
            spec.endpoint = ServiceEndpointSpec()
            spec.endpoint?.ports = [PortConfig(target: 80)]
        }
        try command(.createService(spec))
    }

    /// A node leaves, or is thrown out, or one joins.
    private func changeMembership() throws {
        let members = liveNodes().filter { $0 > 0 }
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
            if members.count > 1, let index = members.randomElement(using: &random) {
                note("\(nodes[index].description.hostname) leaves")
                nodes[index].sandboxes = []
                try feed(index, .leave)
            }
        case 1:
            if members.count > 1,
                let node = manager?.replica.nodes.filter({ $0.spec.role == .worker }).randomElement(using: &random)
            {
                try command(.removeNode(node.id, force: random.chance(30)))
            }
        default:
            if members.count < options.nodes { join() }
        }
    }

    private func fault() {
        switch Int.random(in: 0..<18, using: &random) {
        case 0: crashManager()
        case 1, 2:
            if let index = liveNodes().randomElement(using: &random) { crashAgent(index) }
        case 3:
            if let index = nodes.indices.randomElement(using: &random) {
                note("\(nodes[index].description.hostname)'s disk is full")
                nodes[index].disk.fullUntil = delay(500...8000)
            }
        case 4, 5:
            if let index = nodes.indices.randomElement(using: &random) { interfere(with: nodes[index].kernel) }
        default:
            if let session = streams.keys.sorted().randomElement(using: &random) {
                report.brokenSessions += 1
                breakStream(session)
            }
        }
    }

    /// Somebody else changes the kernel behind weftd's back.
    private func interfere(with door: SimKernelDoor) {
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
            if let id = door.kernel.endpoints.sorted().randomElement(using: &random) { door.kernel.removeInterface(of: id) }
        case 1:
            let addresses = door.kernel.state.locations.keys.sorted()
            if let address = addresses.randomElement(using: &random) { door.kernel.removeLocation(address) }
        default:
            if let part = HostPart.allCases.randomElement(using: &random) { door.kernel.removePart(part) }
        }
    }

    private func rotateKeys() throws {
        guard let cluster = manager?.replica.cluster else { return }
        var rotation = ClusterRotation()
        rotation.keys = true
        try command(.updateCluster(version: cluster.version, cluster.spec, rotating: rotation))
    }

    /// The interface to the other nodes gets another MTU.
    private func changeMTU() throws {
        guard let index = liveNodes().randomElement(using: &random),
            let mtu = [1500, 9000, 1400].randomElement(using: &random)
        else { return }
        nodes[index].description.underlayMTU = MTU(mtu)
        try feed(index, .descriptionChanged(nodes[index].description))
    }
}
