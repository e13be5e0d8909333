import WeftIPAM
package import WeftModel
package import WeftNet

/// Attaching and detaching.
extension NodeMachine {
    mutating func attach(
        _ id: RequestID, _ request: AttachRequest, now: Instant, random: inout some RandomNumberGenerator
    ) {
        do throws(AttachError) {
            guard !isLeaving else { throw .leaving }
            guard let network = view.networks[request.endpoint.network] else {
                throw .networkNotFound(request.endpoint.network.rawValue)
            }
            try check(request, network: network)
            let wants = network.subnets.map { subnet -> Waiting.Want in
                let asked = subnet.family == .v4 ? request.endpoint.ipv4.map(IPAddress.v4) : request.endpoint.ipv6.map(IPAddress.v6)
                return Waiting.Want(
                    family: subnet.family,
                    address: asked ?? ifFree(former[subnet]?.address(of: request.sandbox), subnet))
            }
            wait(id, .attach(request, .random(using: &random)), network.id, wants, now: now)
        } catch {
            effects.replies.append((id, .failure(error)))
        }
    }

    /// Serves a request at once or when it can be. Who waits already comes first.
    mutating func wait(
        _ id: RequestID, _ purpose: Waiting.Purpose, _ network: NetworkID, _ wants: [Waiting.Want], now: Instant
    ) {
        waiting[id] = Waiting(purpose: purpose, network: network, wants: wants, since: now)
        serveWaiting(now: now)
        if waiting[id] != nil { requestLease(for: id, now: now) }
    }

    private func check(_ request: AttachRequest, network: Network) throws(AttachError) {
        let (name, endpoint) = (network.spec.name, request.endpoint)
        guard !request.manual || network.spec.attachable else { throw .notAttachable(name) }
        let isAttached = sandboxes[request.sandbox]?.contains { own[$0]?.network == network.id } ?? false
        let isWaiting = waiting.values.contains { waiter in
            guard case .attach(let other, _) = waiter.purpose else { return false }
            return waiter.network == network.id && other.sandbox == request.sandbox
        }
        guard !isAttached, !isWaiting else { throw .alreadyAttached(name: endpoint.name, network: name) }
        if let address = endpoint.ipv6, !network.spec.ipv6 { throw .noIPv6(address, network: name) }
        for name in [endpoint.name] + endpoint.aliases where name.isEmpty || name.utf8.count > 253 || name.contains(" ") {
            throw .badName(name)
        }
        if let mac = endpoint.mac {
            guard mac.rawValue != 0, !mac.isMulticast else { throw .badMAC(mac) }
            guard !isInUse(mac, on: network.id) else { throw .macInUse(mac, network: name) }
        }
    }

    /// Tries all that wait, oldest first.
    mutating func serveWaiting(now: Instant) {
        for id in waiting.keys.sorted() { serve(id, now: now) }
    }

    /// Gives a waiting attach its addresses, if there are any.
    private mutating func serve(_ id: RequestID, now: Instant) {
        guard let waiter = waiting[id], let network = view.networks[waiter.network] else { return }
        for want in waiter.wants {
            if want.address == nil { expireRests(on: SubnetID(waiter.network, want.family), now: now) }
            switch find(want, of: waiter, now: now) {
            case .success: continue
            // More may come: a block, or an interface's end.
            case nil, .failure(.addressNotLeased), .failure(.addressHeld), .failure(.noFreeAddress): return
            case .failure(let error):
                guard let asked = want.address else { return }
                let user = user(of: Place(network: waiter.network, address: asked))
                return fail(
                    id, .addressRefused(asked, network: network.spec.name, reason: user ?? error.description))
            }
        }
        let taken = waiter.wants.compactMap { take($0, of: waiter.network, now: now) }
        waiting[id] = nil
        switch waiter.purpose {
        case .attach(let request, let endpointID):
            guard let ipv4 = taken.lazy.compactMap(\.v4).first else { return }
            let endpoint = Endpoint(
                id: endpointID, network: waiter.network, node: self.id, sandbox: request.sandbox, ipv4: ipv4,
                ipv6: taken.lazy.compactMap(\.v6).first, mac: request.endpoint.mac ?? freeMAC(for: ipv4, on: waiter.network),
                name: request.endpoint.name, aliases: request.endpoint.aliases, task: request.endpoint.task)
            setOwn(endpoint.id, endpoint)
            effects.added.append(endpoint)
            unconfirmed[id] = Unconfirmed(endpoint: endpoint, generation: generation + 1, isAttach: true)
        case .reservation:
            for address in taken {
                noteReservation(of: Place(network: waiter.network, address: address), now: now)
                effects.reserved.append((id, .success(address)))
                effects.places.append((id, Place(network: waiter.network, address: address)))
            }
        }
        for address in taken { requestSpare(SubnetID(waiter.network, address.family), now: now) }
    }

    /// The address that is wanted, not taken yet; nil where the subnet is not known.
    private func find(_ want: Waiting.Want, of waiter: Waiting, now: Instant) -> Result<IPAddress, IPAMError>? {
        let subnet = SubnetID(waiter.network, want.family)
        guard let allocator = addresses[subnet] else { return nil }
        guard let asked = want.address else {
            if let fresh = allocator.fresh(held: held) { return .success(fresh) }
            guard let resting = allocator.longestResting(held: held), givesResting(subnet, waiter, now: now) else {
                return .failure(.noFreeAddress)
            }
            return .success(resting)
        }
        do throws(IPAMError) { try allocator.checkFree(asked, held: held) } catch { return .failure(error) }
        return .success(asked)
    }

    /// Whether nothing better than a resting address is to be had: the manager has no free block, or does not say.
    private func givesResting(_ subnet: SubnetID, _ waiter: Waiting, now: Instant) -> Bool {
        if session != .synchronised || now - waiter.since >= Self.freshPatience { return true }
        return spareRefused[subnet].map { now - $0 < NodeAddresses.rest } ?? false
    }

    /// A sentence that says who has an address of this node; nil when nobody has.
    func user(of place: Place) -> String? {
        let host = nodeDescription.hostname
        if let endpoint = own.values.first(where: { $0.network == place.network && $0.addresses.contains(place.address) }) {
            let name = endpoint.name.isEmpty ? "endpoint \(endpoint.id)" : "endpoint \(endpoint.name)"
            return "the address \(place.address) is already in use by \(name) on node \(host)"
        }
        guard reservations[place] != nil else { return nil }
        return "the address \(place.address) is already in use: node \(host) keeps it for a container that is being started"
    }

    /// Takes what `find` has found. In place: a copy of the allocator is one of all its addresses.
    private mutating func take(_ want: Waiting.Want, of network: NetworkID, now: Instant) -> IPAddress? {
        let subnet = SubnetID(network, want.family)
        guard let asked = want.address else { return try? addresses[subnet]?.allocate(now: now, held: held) }
        return (try? addresses[subnet]?.claim(asked, held: held)) == nil ? nil : asked
    }

    func isToBeHad(_ want: Waiting.Want, of waiter: Waiting, now: Instant) -> Bool {
        if case .success? = find(want, of: waiter, now: now) { true } else { false }
    }

    /// Asks the manager for what a waiting attach needs: the address itself, or a block.
    mutating func requestLease(for id: RequestID, now: Instant) {
        guard session != .closed, let waiter = waiting[id] else { return }
        for (index, want) in waiter.wants.enumerated() where want.request == nil {
            let subnet = SubnetID(waiter.network, want.family)
            // With a resting address at hand, nobody need give anything back.
            var isSpare = false
            if let address = want.address {
                if addresses[subnet]?.isLeased(address) ?? false { continue }
            } else {
                // What is missing may be of the other family.
                if isToBeHad(want, of: waiter, now: now) { continue }
                isSpare = addresses[subnet]?.longestResting(held: held) != nil
                if let request = blockRequests[subnet], isSpare || !request.isSpare {
                    // A block is on its way already.
                    waiting[id]?.wants[index].request = request
                    continue
                }
            }
            let request = LeaseRequest(number: nextNumber, isSpare: isSpare)
            nextNumber += 1
            waiting[id]?.wants[index].request = request
            if want.address == nil { blockRequests[subnet] = request }
            send(.leaseRequest(request.number, subnet, address: want.address, isSpare: isSpare))
        }
    }

    /// Asks for the next block before the last address is gone, so that attaching needs no round trip. Not where blocks are
    /// so small that a spare one would be most of what another node needs.
    private mutating func requestSpare(_ subnet: SubnetID, now: Instant) {
        guard session == .synchronised, blockRequests[subnet] == nil, let allocator = addresses[subnet],
            let widest = allocator.blocks.map({ $0.width - $0.length }).max(), widest >= 3,
            allocator.freshCount() <= 1 << min(widest - 2, 30)
        else { return }
        if let refused = spareRefused[subnet], now - refused < NodeAddresses.rest { return }
        let number = nextNumber
        nextNumber += 1
        blockRequests[subnet] = LeaseRequest(number: number, isSpare: true)
        send(.leaseRequest(number, subnet, address: nil, isSpare: true))
    }

    mutating func detach(_ id: RequestID, _ endpoint: EndpointID, now: Instant) {
        guard let removed = removeEndpoints([endpoint], now: now, reserving: true).first else {
            effects.replies.append((id, .failure(.endpointNotFound(endpoint))))
            return
        }
        unconfirmed[id] = Unconfirmed(endpoint: removed, generation: generation + 1, isAttach: false)
    }

    /// Every change of an own endpoint comes through here, where what follows from it is noted.
    mutating func setOwn(_ id: EndpointID, _ endpoint: Endpoint?) {
        if let old = own[id] {
            sandboxes[old.sandbox]?.remove(id)
            if sandboxes[old.sandbox]?.isEmpty == true { sandboxes[old.sandbox] = nil }
            unsaved.places.formUnion(old.places)
        }
        own[id] = endpoint
        if let endpoint {
            sandboxes[endpoint.sandbox, default: []].insert(id)
            unsaved.places.formUnion(endpoint.places)
        }
        changes.endpoints.insert(id)
        unsaved.endpoints.insert(id)
    }

    /// Whether an endpoint of any node has the MAC address.
    func isInUse(_ mac: MACAddress, on network: NetworkID) -> Bool {
        own.has(mac, on: network) || view.has(mac, on: network) { isKnown($0) }
    }

    /// The MAC address that an endpoint gets for its IPv4 address, unless somebody chose it for another.
    package func freeMAC(for ipv4: IPv4Address, on network: NetworkID) -> MACAddress {
        MACAddress.choices(forIPv4: ipv4).first { !isInUse($0, on: network) } ?? MACAddress(forIPv4: ipv4)
    }

    mutating func expireRests(on subnet: SubnetID, now: Instant) {
        for address in addresses[subnet]?.expireRests(now: now) ?? [] {
            unsaved.places.insert(Place(network: subnet.network, address: address))
        }
    }

    /// Removes own endpoints; their addresses rest, or with `reserving` an engine's stay until it releases them.
    /// Attaches that were about to be confirmed fail. Ids of others are ignored.
    @discardableResult
    mutating func removeEndpoints(
        _ ids: some Sequence<EndpointID>, now: Instant, reserving: Bool = false
    ) -> [Endpoint] {
        let removed = ids.sorted().compactMap { own[$0] }
        for endpoint in removed {
            setOwn(endpoint.id, nil)
            for place in endpoint.places where !endpoint.name.isEmpty {
                former[place.subnet, default: FormerHolders()]
                    .note(endpoint.sandbox, name: endpoint.name, address: place.address, now: now)
            }
            let isReserved = engine.removeValue(forKey: endpoint.id) != nil && reserving
            for place in endpoint.places {
                if isReserved {
                    noteReservation(of: place, now: now)
                } else {
                    addresses[place.subnet]?.release(place.address, now: now)
                }
            }
            effects.removed.append(endpoint.id)
            effects.added.removeAll { $0.id == endpoint.id }
            for (id, pending) in unconfirmed.sorted(by: { $0.key < $1.key })
            where pending.isAttach && pending.endpoint.id == endpoint.id {
                unconfirmed[id] = nil
                effects.replies.append((id, .failure(.detached(endpoint.id))))
            }
        }
        return removed
    }

    /// Takes back what could not be saved: who asked for it is told so.
    mutating func takeBackUndurable(_ reason: String, now: Instant) {
        for (id, pending) in unconfirmed.sorted(by: { $0.key < $1.key })
        where pending.isAttach && undurable.contains(pending.endpoint.id) {
            unconfirmed[id] = nil
            effects.replies.append((id, .failure(.notSaved(reason))))
        }
        removeEndpoints(undurable, now: now, reserving: true)
        for (id, place) in undurableReservations {
            release(place, now: now)
            effects.reserved.append((id, .failure(.notSaved(reason))))
        }
        takeBackReturns(reason)
    }

    /// Answers what waited for the data path. An endpoint that could not be made is taken back.
    mutating func datapathApplied(
        _ generation: Generation, failures: [EndpointID: String], failure: String?, now: Instant
    ) {
        if failure == nil { acknowledge(following.reach(generation)) }
        for (id, pending) in unconfirmed.sorted(by: { $0.key < $1.key }) where pending.generation <= generation {
            unconfirmed[id] = nil
            // It is not new any more.
            if engine[pending.endpoint.id] != nil { changes.endpoints.insert(pending.endpoint.id) }
            guard let reason = failures[pending.endpoint.id] ?? failure else {
                effects.replies.append((id, .success(pending.endpoint)))
                continue
            }
            if pending.isAttach { removeEndpoints([pending.endpoint.id], now: now, reserving: true) }
            effects.replies.append((id, .failure(.datapath(reason))))
        }
    }
}
