import WeftControl
import WeftModel
import WeftNet
import WeftNode

/// The hosts, and their agents' shells.
extension SimCluster {
    func addNode(_ id: NodeID, _ cluster: Cluster, role: NodeRole = .worker) {
        let number = nodes.count + 1
        var description = NodeDescription(
            hostname: "h\(number)", architecture: "x86_64", nanoCPUs: 2_000_000_000, memoryBytes: 1 << 30,
            weftVersion: "sim")
        description.routes = [IPv4Prefix("172.30.0.0/16"), IPv4Prefix("10.0.2.0/24")].compactMap(\.self)
        let vtep = IPv4Address(rawValue: 172 << 24 | 30 << 16 | UInt32(number))
        nodes.append(
            SimNode(
                id: id, description: description, vtep: vtep, roots: Self.roots(cluster.trustRoots(for: role)),
                issuer: cluster.rootCertificatePEM))
        describeTrust(nodes.count - 1)
        queue.plan(.agentStart(nodes.count - 1), at: now)
    }

    /// Lets one more node in, as a checked join token does. Its host comes up with the reply.
    func join() {
        do { try command(.admitNode(NodeID.random(using: &random), .worker, .active)) } catch { note("join failed: \(error)") }
    }

    /// Feeds an agent as its contract says: actions in order, and a crash between any two of them.
    func feed(_ index: Int, _ input: NodeInput) throws {
        guard var agent = nodes[index].agent else { return }
        // The machine must be the only owner of its tables, or each change would copy them.
        nodes[index].agent = nil
        let actions = agent.handle(input, now: now, random: &random)
        nodes[index].agent = agent
        let life = nodes[index].life
        if !actions.isEmpty { isChanged = true }
        for action in actions {
            if options.faults, isStormy, Int.random(in: 0..<3000, using: &random) == 0 {
                crashAgent(index)
                return
            }
            switch action {
            case .persist(let urgent):
                if urgent {
                    nodes[index].save(own: true, view: false)
                } else {
                    queue.plan(.save(index, life: life), at: delay(0...1000))
                }
            case .send(let message):
                if case .addressesReturned = message {
                    report.addressesReturned += 1
                    // Given back on disk, and nobody knows.
                    if options.faults, isStormy, random.chance(10) { return crashAgent(index) }
                }
                guard let session = nodes[index].session else {
                    throw failure("a message without a session: \(message)")
                }
                guard var stream = streams[session] else { continue }
                stream.up = max(stream.up, delay(1...40))
                streams[session] = stream
                queue.plan(.toManager(index, session, message), at: stream.up)
            case .reconcile(let generation):
                queue.plan(.applyDatapath(index, life: life, generation), at: delay(0...120))
            case .namesChanged: break
            case .reply(let id, let result):
                guard nodes[index].requests.remove(id) != nil else {
                    throw failure(
                        "request \(id.rawValue) of \(nodes[index].description.hostname) got a second reply: \(result)")
                }
                note("\(nodes[index].description.hostname) replies to \(id.rawValue): \(result)")
                if !isStormy { outcomes[id] = result }
                switch result {
                case .success(let endpoint):
                    if agent.ownEndpoints.contains(endpoint) { report.attached += 1 } else { report.detached += 1 }
                    if endpoint.ipv6 != nil { report.withIPv6 += 1 }
                case .failure: report.refused += 1
                }
            case .reserved(let id, let result):
                guard nodes[index].requests.remove(id) != nil else {
                    throw failure("reservation \(id.rawValue) got a second reply: \(result)")
                }
                note("\(nodes[index].description.hostname) answers reservation \(id.rawValue): \(result)")
                guard var promise = nodes[index].promises[id] else { break }
                switch result {
                case .success(.v4(let address)): promise.ipv4 = address
                case .success(.v6(let address)): promise.ipv6 = address
                case .failure: break
                }
                promise.isWaiting = false
                nodes[index].promises[id] = promise.ipv4 == nil ? nil : promise
            case .endpointsLost(let endpoints, let reason):
                note("\(nodes[index].description.hostname) loses \(endpoints.map(\.name)): \(reason)")
            case .dismissed(let reason):
                note("\(nodes[index].description.hostname) is dismissed: \(reason)")
                dismissed(index)
                return
            }
        }
    }

    /// Dismissed from its current session: out of the swarm, or (never here) replaced by itself.
    private func dismissed(_ index: Int) {
        nodes[index].isGone = true
        nodes[index].agent = nil
        nodes[index].life += 1
        nodes[index].interfaces = [:]
        nodes[index].forwarding = nil
        nodes[index].session = nil
        nodes[index].requests = []
        nodes[index].promises = [:]
        report.nodesLeft += 1
    }

    func crashAgent(_ index: Int) {
        guard nodes[index].agent != nil else { return }
        note("\(nodes[index].description.hostname)'s agent crashes")
        report.agentCrashes += 1
        nodes[index].agent = nil
        nodes[index].life += 1
        nodes[index].requests = []
        nodes[index].promises = nodes[index].promises.filter { !$0.value.isWaiting }
        if let session = nodes[index].session {
            nodes[index].session = nil
            breakStream(session)
        }
        queue.plan(.agentStart(index), at: delay(100...15_000))
    }

    /// Starts weftd on what its disk holds; sandboxes and interfaces are as they were, or ended meanwhile.
    func startAgent(_ index: Int) throws {
        guard nodes[index].agent == nil, !nodes[index].isGone else { return }
        let node = nodes[index]
        nodes[index].life += 1
        nodes[index].agent = NodeMachine(
            id: node.id, description: node.description, dataPathAddress: node.vtep, saved: node.disk)
        note("\(node.description.hostname)'s agent starts at revision \(node.disk.view.revision)")
        try feed(index, .addressesHeld(Set(node.interfaces.values.flatMap(\.addresses))))
        try feed(index, .sandboxesFound(node.sandboxes))
        let life = nodes[index].life
        if let generation = nodes[index].agent?.generation {
            queue.plan(.applyDatapath(index, life: life, generation), at: delay(1...100))
        }
        queue.plan(.agentTick(index, life: life), at: delay(1...1000))
        queue.plan(.connect(index, life: life), at: delay(1...500))
    }

    /// The fake data path: interfaces and forwarding become what the agent wants, but for an interface that fails now and
    /// then, or is late to go.
    func applyDatapath(_ index: Int, life: Int, _ generation: Generation) throws {
        guard nodes[index].life == life, let agent = nodes[index].agent, agent.generation >= generation else { return }
        isChanged = true
        var failures: [EndpointID: String] = [:]
        let wanted = Dictionary(agent.ownEndpoints.map { ($0.id, $0) }) { first, _ in first }
        for endpoint in nodes[index].interfaces.values.sorted(by: { $0.id < $1.id }) where wanted[endpoint.id] == nil {
            nodes[index].interfaces[endpoint.id] = nil
        }
        for endpoint in agent.ownEndpoints where nodes[index].interfaces[endpoint.id] != nil {
            // Another name, and the container's id instead of its namespace's.
            nodes[index].interfaces[endpoint.id] = endpoint
        }
        for endpoint in agent.ownEndpoints where nodes[index].interfaces[endpoint.id] == nil {
            if options.faults, isStormy, random.chance(2) {
                failures[endpoint.id] = "the interface could not be made"
            } else {
                nodes[index].interfaces[endpoint.id] = endpoint
            }
        }
        nodes[index].forwarding = SimNode.desired(
            agent.id, vtep: agent.dataPathAddress, own: Array(nodes[index].interfaces.values), networks: agent.networks,
            endpoints: agent.endpoints, peers: agent.peers)
        if options.faults, isStormy, random.chance(1), failures.isEmpty {
            try feed(index, .datapathApplied(generation, failure: "the data path is out of order"))
        } else {
            try feed(index, .datapathApplied(generation, failures: failures))
        }
        try feed(index, .addressesHeld(Set(nodes[index].interfaces.values.flatMap(\.addresses))))
    }
}
