import WeftAgentCore
import WeftControl
import WeftDatapath
import WeftModel
import WeftNet
import WeftNode

/// The hosts, and what is around their agents.
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
                issuer: cluster.rootCertificatePEM, seed: random.next()))
        describeTrust(nodes.count - 1)
        queue.plan(.agentStart(nodes.count - 1), at: now)
    }

    /// Lets one more node in, as a checked join token does. Its host comes up with the reply.
    func join() {
        do { try command(.admitNode(NodeID.random(using: &random), .worker, .active)) } catch { note("join failed: \(error)") }
    }

    func feed(_ index: Int, _ input: NodeInput) throws { try feed(index, agent: .node(input)) }

    /// Gives an agent something to do, and carries out what it does, in the order in which it does it.
    func feed(_ index: Int, agent input: AgentInput) throws {
        guard let process = nodes[index].core?.outlet else { return }
        process.begin(at: now, isStormy: options.faults && isStormy)
        nodes[index].core?.process(input, now: now)
        try carryOut(index, process)
    }

    private func carryOut(_ index: Int, _ process: SimProcess) throws {
        report.failedSaves += process.failedSaves
        for effect in process.takeEffects() {
            isChanged = true
            try perform(effect, of: index)
            guard nodes[index].core?.outlet === process else { return }
        }
        if process.isDead { crashAgent(index) }
    }

    private func perform(_ effect: SimProcess.Effect, of index: Int) throws {
        let host = nodes[index].description.hostname
        switch effect {
        case .send(let message):
            if case .addressesReturned = message { report.addressesReturned += 1 }
            guard let session = nodes[index].session else { throw failure("a message without a session: \(message)") }
            guard var stream = streams[session] else { return }
            stream.up = max(stream.up, delay(1...40))
            streams[session] = stream
            queue.plan(.toManager(index, session, message), at: stream.up)
        case .reconcile(let change, let generation, let observe):
            nodes[index].due.add(change, generation: generation, observe: observe)
            guard !nodes[index].isRoundPlanned else { return }
            nodes[index].isRoundPlanned = true
            queue.plan(.datapathRound(index, life: nodes[index].life), at: delay(0...120))
        case .reply(let id, let result):
            try replied(id, result, by: index)
        case .replyReservation(let id, let result):
            try promised(id, result, by: index)
        case .followed(let id): note("\(host) need not wait for others any more: \(id)")
        case .keysChanged(let news):
            if nodes[index].keys.news == nil { queue.plan(.keysDue(index, life: nodes[index].life), at: delay(0...50)) }
            nodes[index].keys.news = news
        case .assigned(let tasks):
            if !tasks.tasks.isEmpty { note("\(host) is to run \(tasks.tasks.map(\.name))") }
        case .lost(let endpoints, let reason):
            note("\(host) loses \(endpoints.map(\.name)): \(reason)")
        case .dismissed(let reason):
            note("\(host) is dismissed: \(reason)")
            dismissed(index)
        case .note(let text):
            note("\(host) notes: \(text)")
        }
    }

    private func replied(_ id: RequestID, _ result: Result<Endpoint, AttachError>, by index: Int) throws {
        let host = nodes[index].description.hostname
        guard nodes[index].requests.remove(id) != nil else {
            throw failure("request \(id.rawValue) of \(host) got a second reply: \(result)")
        }
        note("\(host) replies to \(id.rawValue): \(result)")
        if !isStormy { outcomes[id] = result }
        switch result {
        case .success(let endpoint):
            if nodes[index].agent?.ownEndpoint(endpoint.id) == endpoint { report.attached += 1 } else { report.detached += 1 }
            if endpoint.ipv6 != nil { report.withIPv6 += 1 }
        case .failure(.notSaved):
            report.takenBack += 1
        case .failure:
            report.refused += 1
        }
    }

    private func promised(_ id: RequestID, _ result: Result<IPAddress, AttachError>, by index: Int) throws {
        guard nodes[index].requests.remove(id) != nil else {
            throw failure("reservation \(id.rawValue) got a second reply: \(result)")
        }
        note("\(nodes[index].description.hostname) answers reservation \(id.rawValue): \(result)")
        guard var promise = nodes[index].promises[id] else { return }
        switch result {
        case .success(.v4(let address)): promise.ipv4 = address
        case .success(.v6(let address)): promise.ipv6 = address
        case .failure: break
        }
        promise.isWaiting = false
        nodes[index].promises[id] = promise.ipv4 == nil ? nil : promise
    }

    // MARK: Beginning and end

    /// Dismissed from its current session: out of the swarm, or (never here) replaced by itself.
    private func dismissed(_ index: Int) {
        nodes[index].stop()
        nodes[index].isGone = true
        nodes[index].told = [:]
        nodes[index].session = nil
        nodes[index].promises = [:]
        report.nodesLeft += 1
    }

    func crashAgent(_ index: Int) {
        guard nodes[index].core != nil else { return }
        note("\(nodes[index].description.hostname)'s agent crashes")
        report.agentCrashes += 1
        nodes[index].stop()
        nodes[index].promises = nodes[index].promises.filter { !$0.value.isWaiting }
        if let session = nodes[index].session {
            nodes[index].session = nil
            breakStream(session)
        }
        queue.plan(.agentStart(index), at: delay(100...15_000))
    }

    /// Starts weftd on what its disk holds; sandboxes and interfaces are as they were, or ended meanwhile.
    func startAgent(_ index: Int) throws {
        guard nodes[index].core == nil, !nodes[index].isGone else { return }
        nodes[index].start(random: &random)
        let life = nodes[index].life
        note("\(nodes[index].description.hostname)'s agent starts at revision \(nodes[index].disk.saved.view.revision)")
        queue.plan(.agentTick(index, life: life), at: delay(1...1000))
        queue.plan(.connect(index, life: life), at: delay(1...500))
        guard let process = nodes[index].core?.outlet else { return }
        process.begin(at: now, isStormy: options.faults && isStormy)
        nodes[index].core?.start()
        try carryOut(index, process)
        let paths = nodes[index].sandboxes.map { ($0, SimNode.namespacePath(of: $0)) }
        try feed(index, agent: .sandboxesFound(Dictionary(paths) { first, _ in first }))
    }

    /// Before a sandbox's first attach; false if weftd did not live to hear of it.
    func place(_ sandbox: SandboxID, on index: Int) throws -> Bool {
        let life = nodes[index].life
        try feed(index, agent: .place(sandbox, namespacePath: SimNode.namespacePath(of: sandbox)))
        return nodes[index].core != nil && nodes[index].life == life
    }

    // MARK: The data path

    /// A round of what brings kernel and names after the machine.
    func datapathRound(_ index: Int, life: Int) throws {
        guard nodes[index].life == life, nodes[index].core != nil else { return }
        isChanged = true
        nodes[index].isRoundPlanned = false
        let (change, request) = nodes[index].due.take()
        if let request, try !reconcile(index, request) { return }
        nodes[index].names.apply(change)
        if let broken = Checker.staleness(of: nodes[index]) {
            throw failure("\(nodes[index].description.hostname): \(broken)")
        }
        report.comparisons += 1
    }

    /// False when weftd died over it.
    private func reconcile(_ index: Int, _ request: ReconcileRequest) throws -> Bool {
        for case let attachment? in request.change.endpoints.values.lazy.map(\.attachment) {
            nodes[index].told[attachment.endpoint.id] = attachment.endpoint
        }
        let isStormy = options.faults && isStormy
        let kernel = nodes[index].kernel
        kernel.kernel.namespaces = Set(nodes[index].sandboxes.map { SimNode.namespacePath(of: $0) })
        kernel.begin(isStormy: isStormy)
        let mtu = nodes[index].description.underlayMTU ?? .ethernet
        let outcome = nodes[index].datapath.reconcile(request, with: kernel) { mtu }
        guard !kernel.isDeserted else {
            crashAgent(index)
            return false
        }
        if outcome.isRefused { report.refusedRounds += 1 }
        if !outcome.isRefused, !kernel.kernel.hasDrifted {
            let left = difference(desired: nodes[index].datapath.compilation.desired, observed: kernel.kernel.state)
            if !left.isEmpty { throw failure("\(nodes[index].description.hostname)'s round left \(left)") }
        }
        queue.plan(.reconciled(index, life: nodes[index].life, outcome), at: delay(0...30))
        return true
    }
}
