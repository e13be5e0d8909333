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
            // The lease came in the assignments before this. A block that this node gave back, and that is still among its
            // leases at this point of the stream, was not taken back.
            for waiter in waiting.values {
                for want in waiter.wants where want.number == number {
                    let subnet = SubnetID(waiter.network, want.family)
                    for lease in view.leases.values where lease.subnet == subnet {
                        if want.address.map(lease.block.contains) ?? true { returned.remove(lease.id) }
                    }
                }
            }
            unsaved.node = true
            refreshBlocks()
            spareRequests = spareRequests.filter { $0.value != number }
            for id in waiting.keys { waiting[id]?.forget(number) }
            serveWaiting(now: now)
            for id in waiting.keys.sorted() { requestLease(for: id) }
        case .leaseRefused(let number, let reason):
            for (subnet, spare) in spareRequests where spare == number {
                spareRequests[subnet] = nil
                spareRefused[subnet] = now
            }
            for (id, waiter) in waiting.sorted(by: { $0.key < $1.key }) {
                if let want = waiter.wants.first(where: { $0.number == number }) {
                    refuse(id, want.address, reason: reason)
                }
            }
        case .goodbye(let reason):
            session = .closed
            effects.dismissal = reason
        }
    }

    private mutating func apply(_ assignments: Assignments, now: Instant) {
        if session == .resynchronising, !assignments.isFull { return }
        let changesOthers = concernsOthers(assignments)
        guard view.apply(assignments) else {
            session = .resynchronising
            send(.resyncRequest)
            return
        }
        note(assignments)
        // Endpoints of others and echoes of this node's own change nothing of what follows: most of what comes is these.
        if session == .greeting || concernsAddresses(assignments) { followAddresses(now: now) }
        session = .synchronised
        serveWaiting(now: now)
        effects.persist = true
        if changesOthers {
            effects.reconcile = true
            effects.names = true
        }
    }

    /// Notes what the shell must hear of, and save.
    private mutating func note(_ assignments: Assignments) {
        changes.everything = changes.everything || concernsAll(assignments)
        let endpoints = assignments.endpoints.map(\.id) + assignments.removedEndpoints
        changes.endpoints.formUnion(endpoints)
        unsaved.note(assignments)
    }

    private func concernsAddresses(_ assignments: Assignments) -> Bool {
        assignments.isFull || !assignments.networks.isEmpty || !assignments.removedNetworks.isEmpty
            || !assignments.leases.isEmpty || !assignments.removedLeases.isEmpty
    }

    private mutating func followAddresses(now: Instant) {
        // In a new session, the first answer tells which returned blocks the manager took: the rest are this node's.
        // Later answers may have been on their way before the manager heard of a return.
        if session == .greeting { returned = [] }
        unsaved.node = true
        returned = returned.filter { view.leases[$0] != nil }
        refreshBlocks()
        dropForeignEndpoints(now: now)
        for (id, waiter) in waiting.sorted(by: { $0.key < $1.key }) where view.networks[waiter.network] == nil {
            fail(id, .networkRemoved(waiter.purpose.networkText ?? waiter.network.rawValue))
        }
    }

    /// False for what changes neither data path nor names: leases, and the echo of this node's own endpoints.
    private func concernsOthers(_ assignments: Assignments) -> Bool {
        concernsAll(assignments) || assignments.endpoints.contains { $0.node != id }
            || assignments.removedEndpoints.contains { view.endpoints[$0]?.node != id }
    }

    /// True for what every endpoint's part in data path and names may depend on.
    private func concernsAll(_ assignments: Assignments) -> Bool {
        assignments.isFull || assignments.cluster != nil || !assignments.networks.isEmpty
            || !assignments.removedNetworks.isEmpty || !assignments.peers.isEmpty || !assignments.removedPeers.isEmpty
    }

    /// Endpoints go with their network, and when the manager leased their address to no or another node: it knows of all
    /// that this node leases and, since hello, of all its endpoints.
    private mutating func dropForeignEndpoints(now: Instant) {
        let blocks = Dictionary(grouping: view.leases.values, by: \.network)
        func isLeased(_ place: Place) -> Bool {
            (blocks[place.network] ?? []).contains { $0.block.contains(place.address) }
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
        var ids: [String] = []
        for (subnet, allocator) in addresses {
            guard !waiting.values.contains(where: { $0.network == subnet.network }), spareRequests[subnet] == nil else {
                continue
            }
            for block in allocator.returnableBlocks(held: held) {
                ids.append(AddressLease(network: subnet.network, block: block, node: id).id)
            }
        }
        guard !ids.isEmpty else { return }
        returned.formUnion(ids)
        unsaved.node = true
        refreshBlocks()
        effects.persist = true
        effects.persistUrgent = true
        send(.leasesReturned(ids.sorted()))
    }
}
