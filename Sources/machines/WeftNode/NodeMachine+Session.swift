import WeftIPAM
import WeftModel
import WeftNet

/// What the manager says.
extension NodeMachine {
    mutating func received(_ message: ManagerMessage, now: Instant) {
        guard session != .closed else { return }
        switch message {
        case .assignments(let assignments):
            apply(assignments, now: now)
        case .leaseGranted(let number):
            // The lease came in the assignments before this.
            answered(number)
            askAgain(now: now)
        case .leaseRefused(let number, let reason):
            for (subnet, request) in blockRequests where request.number == number { spareRefused[subnet] = now }
            for (id, waiter) in waiting.sorted(by: { $0.key < $1.key }) {
                if let want = waiter.wants.first(where: { $0.request == LeaseRequest(number: number, isSpare: false) }) {
                    refuse(id, want.address, reason: reason)
                }
            }
            answered(number)
            // Who hoped for a spare block takes what rests, or needs another's.
            askAgain(now: now)
        case .addressesWanted(let number, let subnet, let address):
            recalls.append(Recall(number: number, subnet: subnet, address: address, deadline: now + Self.patience))
        case .endpointRefused(let endpoint, let reason):
            if own[endpoint] != nil { refusals[endpoint] = reason }
        case .othersFollowed(let number): othersFollowed(number)
        case .goodbye(let reason):
            closeSession()
            effects.dismissal = reason
        }
    }

    private mutating func answered(_ number: RequestNumber) {
        blockRequests = blockRequests.filter { $0.value.number != number }
        for id in waiting.keys { waiting[id]?.forget(number) }
    }

    private mutating func askAgain(now: Instant) {
        serveWaiting(now: now)
        for id in waiting.keys.sorted() { requestLease(for: id, now: now) }
    }

    private mutating func apply(_ assignments: Assignments, now: Instant) {
        if session == .resynchronising, !assignments.isFull { return }
        let changesOthers = concernsOthers(assignments)
        let isFirstWord = knowsNothing
        let changesKeys = concernsKeys(assignments)
        let changesNetworks = !assignments.networks.isEmpty || !assignments.removedNetworks.isEmpty
        let wasEncrypting = changesNetworks && view.isEncrypting
        guard view.apply(assignments) else {
            if session == .synchronised { effects.tasks = true }
            session = .resynchronising
            send(.resyncRequest)
            return
        }
        note(assignments)
        for task in assignments[ServiceTask.self].put { keepSeen(task.id) }
        if isFirstWord { adopt(now: now) }
        // Endpoints of others and echoes of this node's own change nothing of what follows: most of what comes is these.
        if session == .greeting || concernsAddresses(assignments) {
            followAddresses(now: now, takesAway: takesAway(assignments))
        }
        let isNew = session != .synchronised
        session = .synchronised
        serveWaiting(now: now)
        effects.persist = true
        if changesOthers {
            effects.reconcile = true
            effects.names = true
        }
        follow(assignments)
        if isNew {
            tellTasks()
            tellKeys()
        }
        effects.keys = effects.keys || changesKeys || changesNetworks && view.isEncrypting != wasEncrypting
        effects.tasks = effects.tasks || isNew || concernsTasks(assignments)
    }

    /// Notes what the shell must hear of, and save.
    private mutating func note(_ assignments: Assignments) {
        changes.everything = changes.everything || assignments.isFull
        changes.cluster = changes.cluster || assignments.cluster != nil
        owesDescription = owesDescription || assignments.cluster != nil
        changes.networks.formUnion(assignments.networks.map(\.id) + assignments.removedNetworks)
        changes.peers.formUnion(assignments.peers.map(\.id) + assignments.removedPeers)
        changes.services.formUnion(assignments[ServiceView.self].ids)
        let endpoints = assignments.endpoints.map(\.id) + assignments.removedEndpoints
        changes.endpoints.formUnion(endpoints)
        unsaved.note(assignments)
    }

    private func concernsAddresses(_ assignments: Assignments) -> Bool {
        assignments.isFull || !assignments.networks.isEmpty || !assignments.removedNetworks.isEmpty
            || !assignments.leases.isEmpty || !assignments.removedLeases.isEmpty
    }

    private func takesAway(_ assignments: Assignments) -> Bool {
        assignments.isFull || !assignments.removedNetworks.isEmpty || !assignments.removedLeases.isEmpty
    }

    private mutating func followAddresses(now: Instant, takesAway: Bool) {
        // In a new session, the first answer tells which returned blocks the manager took: the rest are this node's.
        // Later answers may have been on their way before the manager heard of a return.
        if session == .greeting { returned = [] }
        unsaved.node = true
        returned.removeAll { view.leases[$0.lease]?.version != $0.version }
        refreshBlocks()
        if session == .greeting || takesAway { dropForeignEndpoints(now: now) }
        for (id, waiter) in waiting.sorted(by: { $0.key < $1.key }) where view.networks[waiter.network] == nil {
            fail(id, .networkRemoved(waiter.network.rawValue))
        }
    }

    /// False for what changes neither data path nor names: leases, and the echo of this node's own endpoints.
    private func concernsOthers(_ assignments: Assignments) -> Bool {
        concernsAll(assignments) || !assignments[ServiceView.self].isEmpty || assignments.endpoints.contains { $0.node != id }
            || assignments.removedEndpoints.contains { view.endpoints[$0]?.node != id }
    }

    /// True for what the parts of several endpoints in data path and names may depend on.
    private func concernsAll(_ assignments: Assignments) -> Bool {
        assignments.isFull || assignments.cluster != nil || !assignments.networks.isEmpty
            || !assignments.removedNetworks.isEmpty || !assignments.peers.isEmpty || !assignments.removedPeers.isEmpty
    }

    /// Endpoints go with their network, and when the manager leased their address to no or another node: it knows of all
    /// that this node leases and, since hello, of all its endpoints.
    private mutating func dropForeignEndpoints(now: Instant) {
        let blocks = Dictionary(grouping: view.leases.values, by: \.subnet).mapValues { Set($0.map(\.block)) }
        func isLeased(_ place: Place) -> Bool {
            guard let blocks = blocks[place.subnet], let subnet = view.networks[place.network]?.subnet(place.address.family)
            else { return false }
            // Blocks are narrow, of few lengths.
            return stride(from: subnet.width, through: subnet.length, by: -1).contains { length in
                AnyIPPrefix(place.address, length: length).map(blocks.contains) ?? false
            }
        }
        let orphans = own.values.filter { view.networks[$0.network] == nil }
        let removed = removeEndpoints(orphans.map(\.id), now: now)
        if !removed.isEmpty { effects.lost.append((removed, "its network was removed")) }
        let strangers = own.values.filter { !$0.places.allSatisfy(isLeased) }
        let foreign = removeEndpoints(strangers.map(\.id), now: now)
        if !foreign.isEmpty { effects.lost.append((foreign, "its address is no longer leased to this node")) }
        for place in reservations.keys where !isLeased(place) { release(place, now: now) }
    }

    /// Brings the allocators in line with networks and leases.
    mutating func refreshBlocks() {
        for (subnet, allocator) in addresses where view.networks[subnet.network] == nil {
            unsaved.places.formUnion(allocator.resting.keys.map { Place(network: subnet.network, address: $0) })
            addresses[subnet] = nil
            former[subnet] = nil
        }
        let blocks = Dictionary(grouping: usableLeases, by: \.subnet)
        for network in view.networks.values {
            for subnet in network.subnets {
                if addresses[subnet] == nil { addresses[subnet] = allocator(network, subnet) }
                addresses[subnet]?.setBlocks((blocks[subnet] ?? []).map(\.block))
            }
        }
    }

    /// An allocator that knows what is in use and resting already.
    private mutating func allocator(_ network: Network, _ subnet: SubnetID) -> NodeAddresses? {
        guard let layout = try? SubnetLayout(network, subnet.family) else { return nil }
        var allocator = NodeAddresses(layout: layout)
        for rest in strayRests where rest.subnet == subnet { allocator.restoreRest(of: rest.address, until: rest.until) }
        strayRests.removeAll { $0.subnet == subnet }
        for place in own.values.lazy.flatMap(\.places) where place.subnet == subnet {
            allocator.restoreUse(of: place.address)
        }
        for place in reservations.keys where place.subnet == subnet { allocator.restoreUse(of: place.address) }
        return allocator
    }

    /// Gives blocks back in which nothing is used. They are marked, durably, before the manager hears of it: it may lease
    /// them to another node at once.
    mutating func returnBlocks() {
        guard session == .synchronised else { return }
        var returns: [Return] = []
        for (subnet, allocator) in addresses {
            guard !waiting.values.contains(where: { $0.network == subnet.network }), blockRequests[subnet] == nil else {
                continue
            }
            for block in allocator.returnableBlocks(held: held) {
                // Of a lease of which a part was given back, the rest is no lease yet.
                if let lease = lease(of: block, subnet), lease.block == block {
                    returns.append(Return(subnet: subnet, prefix: block, lease: lease.id, version: lease.version))
                }
            }
        }
        guard !returns.isEmpty else { return }
        giveBack(returns)
        send(.leasesReturned(returns.map(\.lease).sorted()))
    }

    /// Marks parts of leases as given back, durably before the manager hears of it.
    private mutating func giveBack(_ returns: [Return], recall: RequestNumber? = nil) {
        returned += returns
        effects.returns += returns.map { ($0, recall) }
        unsaved.node = true
        refreshBlocks()
        effects.persist = true
        effects.persistUrgent = true
    }

    /// Takes back what could not be marked: no manager was told of it, so that it is this node's as before.
    mutating func takeBackReturns(_ reason: String) {
        guard !undurableReturns.isEmpty else { return }
        let parts = Set(undurableReturns.map(\.part))
        returned.removeAll(where: parts.contains)
        unsaved.node = true
        effects.persist = true
        refreshBlocks()
        for case (_, let number?) in undurableReturns {
            send(.addressesKept(number, reason: "node \(nodeDescription.hostname) could not remember that it gave it back: \(reason)"))
        }
    }

    private func lease(of prefix: AnyIPPrefix, _ subnet: SubnetID) -> AddressLease? {
        view.leases.values.first { $0.subnet == subnet && $0.block.contains(prefix) }
    }
}

// MARK: Giving back what others need

extension NodeMachine {
    /// Answers what the manager asked, as far as there is an answer.
    mutating func answerRecalls(now: Instant) {
        guard !recalls.isEmpty else { return }
        var left: [Recall] = []
        for recall in recalls {
            switch answer(recall) {
            case .part(let part):
                giveBack([part], recall: recall.number)
                send(.addressesReturned(recall.number, recall.subnet, part.prefix))
            case .later where now < recall.deadline:
                left.append(recall)
            case .later:
                send(
                    .addressesKept(
                        recall.number, reason: "an interface of node \(nodeDescription.hostname) still holds what is free"))
            case .kept(let reason):
                send(.addressesKept(recall.number, reason: reason))
            }
        }
        recalls = left
    }

    private enum RecallAnswer {
        case part(Return)
        case kept(String)
        /// An interface is about to go, or the manager about to change the lease.
        case later
    }

    private func answer(_ recall: Recall) -> RecallAnswer {
        let host = nodeDescription.hostname
        guard let allocator = addresses[recall.subnet], !isLeaving else { return .kept("node \(host) leases nothing of it") }
        let isFrozen = { (block: AnyIPPrefix) in
            returned.contains { $0.subnet == recall.subnet && view.leases[$0.lease]?.block.contains(block) ?? false }
        }
        guard let address = recall.address else {
            switch allocator.spare(held: held, isFrozen: isFrozen) {
            case .prefix(let prefix): return part(prefix, of: recall.subnet)
            case .later: return .later
            case .none: return .kept("node \(host) uses all that it leases")
            }
        }
        if let user = user(of: Place(network: recall.subnet.network, address: address)) { return .kept(user) }
        if isFrozen(AnyIPPrefix(host: address)) { return .later }
        guard allocator.isLeased(address) else { return .kept("node \(host) leases \(address) no longer") }
        return held.contains(address) ? .later : part(AnyIPPrefix(host: address), of: recall.subnet)
    }

    private func part(_ prefix: AnyIPPrefix, of subnet: SubnetID) -> RecallAnswer {
        guard let lease = lease(of: prefix, subnet) else { return .later }
        return .part(Return(subnet: subnet, prefix: prefix, lease: lease.id, version: lease.version))
    }
}

extension NodeMachine.Return {
    /// Reads what `id` says; nil where nothing of these leases is meant.
    init?(id: String, leases: Table<AddressLease>) {
        guard let slash = id.firstIndex(of: "/"), let prefix = AnyIPPrefix(String(id[id.index(after: slash)...])) else {
            return nil
        }
        let subnet = SubnetID(NetworkID(String(id[..<slash])), prefix.family)
        let lease = leases.values.first { $0.subnet == subnet && $0.block.contains(prefix) }
        guard let lease else { return nil }
        self.init(subnet: subnet, prefix: prefix, lease: lease.id, version: lease.version)
    }
}
