import WeftIPAM
import WeftModel
import WeftNet

/// Attaching and detaching.
extension NodeMachine {
    mutating func attach(
        _ id: RequestID, _ request: AttachRequest, now: Instant, random: inout some RandomNumberGenerator
    ) {
        do throws(AttachError) {
            guard !isLeaving else { throw .leaving }
            let network = try network(matching: request.network)
            try check(request, network: network)
            wait(id, .attach(request, .random(using: &random)), network.id, request.ipv4, now: now)
        } catch {
            effects.replies.append((id, .failure(error)))
        }
    }

    /// Serves a request at once or when it can be. Who waits already comes first.
    mutating func wait(
        _ id: RequestID, _ purpose: Waiting.Purpose, _ network: NetworkID, _ address: IPv4Address?, now: Instant
    ) {
        waiting[id] = Waiting(purpose: purpose, network: network, ipv4: address, deadline: now + Self.patience)
        serveWaiting(now: now)
        if waiting[id] != nil { requestLease(for: id) }
    }

    private func check(_ request: AttachRequest, network: Network) throws(AttachError) {
        let name = network.spec.name
        guard !request.manual || network.spec.attachable else { throw .notAttachable(name) }
        let isAttached = sandboxes[request.sandbox]?.contains { own[$0]?.network == network.id } ?? false
        let isWaiting = waiting.values.contains { waiter in
            guard case .attach(let other, _) = waiter.purpose else { return false }
            return waiter.network == network.id && other.sandbox == request.sandbox
        }
        guard !isAttached, !isWaiting else { throw .alreadyAttached(name: request.name, network: name) }
        for name in [request.name] + request.aliases where name.isEmpty || name.utf8.count > 253 || name.contains(" ") {
            throw .badName(name)
        }
        if let mac = request.mac {
            guard mac.rawValue != 0, !mac.isMulticast else { throw .badMAC(mac) }
            guard !isInUse(mac, on: network.id) else { throw .macInUse(mac, network: name) }
        }
    }

    /// Tries all that wait, oldest first.
    mutating func serveWaiting(now: Instant) {
        for id in waiting.keys.sorted() { serve(id, now: now) }
    }

    /// Gives a waiting attach its address, if there is one.
    private mutating func serve(_ id: RequestID, now: Instant) {
        guard let waiter = waiting[id], let network = view.networks[waiter.network] else { return }
        let address: IPv4Address
        do throws(IPAMError) {
            // In place: a copy of the allocator is one of all its addresses.
            if let asked = waiter.ipv4 {
                guard try addresses[waiter.network]?.claim(asked, held: held) != nil else { return }
                address = asked
            } else {
                expireRests(on: waiter.network, now: now)
                guard let free = try addresses[waiter.network]?.allocate(now: now, held: held) else { return }
                address = free
            }
        } catch {
            switch error {
            // More may come: a block, or an interface's end.
            case .addressNotLeased, .addressHeld, .noFreeAddress: return
            default:
                guard let asked = waiter.ipv4 else { return }
                return fail(id, .addressRefused(asked, network: network.spec.name, reason: error.description))
            }
        }
        waiting[id] = nil
        switch waiter.purpose {
        case .attach(let request, let endpointID):
            let endpoint = Endpoint(
                id: endpointID, network: waiter.network, node: self.id, sandbox: request.sandbox, ipv4: address,
                mac: request.mac ?? MACAddress(forIPv4: address), name: request.name, aliases: request.aliases)
            setOwn(endpoint.id, endpoint)
            effects.added.append(endpoint)
            unconfirmed[id] = Unconfirmed(endpoint: endpoint, generation: generation + 1, isAttach: true)
        case .reservation:
            noteReservation(of: Place(network: waiter.network, address: address), now: now)
            effects.reserved.append((id, .success(address)))
        }
        requestSpare(waiter.network, now: now)
    }

    /// Asks the manager for what a waiting attach needs: the address itself, or a block.
    mutating func requestLease(for id: RequestID) {
        guard session != .closed, let waiter = waiting[id], waiter.number == nil else { return }
        if let address = waiter.ipv4 {
            if addresses[waiter.network]?.isLeased(address) ?? false { return }
        } else if let number = spareRequests[waiter.network] {
            // A block is on its way already.
            waiting[id]?.number = number
            return
        }
        let number = nextNumber
        nextNumber += 1
        waiting[id]?.number = number
        if waiter.ipv4 == nil { spareRequests[waiter.network] = number }
        send(.leaseRequest(number, waiter.network, address: waiter.ipv4))
    }

    /// Asks for the next block before the last address is gone, so that attaching needs no round trip. Not where blocks are
    /// so small that a spare one would be most of what another node needs.
    private mutating func requestSpare(_ network: NetworkID, now: Instant) {
        guard session == .synchronised, spareRequests[network] == nil, let allocator = addresses[network],
            let widest = allocator.blocks.map(\.length).min(), widest <= 29,
            allocator.freeCount() <= 1 << (32 - widest - 2)
        else { return }
        if let refused = spareRefused[network], now - refused < NodeAddresses.rest { return }
        let number = nextNumber
        nextNumber += 1
        spareRequests[network] = number
        send(.leaseRequest(number, network, address: nil))
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
            unsaved.places.insert(Place(network: old.network, address: old.ipv4))
        }
        own[id] = endpoint
        if let endpoint {
            sandboxes[endpoint.sandbox, default: []].insert(id)
            unsaved.places.insert(Place(network: endpoint.network, address: endpoint.ipv4))
        }
        changes.endpoints.insert(id)
        unsaved.endpoints.insert(id)
    }

    /// Whether an endpoint of any node has the MAC address.
    func isInUse(_ mac: MACAddress, on network: NetworkID) -> Bool {
        own.has(mac, on: network) || view.endpoints.has(mac, on: network) { isKnown($0) }
    }

    mutating func expireRests(on network: NetworkID, now: Instant) {
        for address in addresses[network]?.expireRests(now: now) ?? [] {
            unsaved.places.insert(Place(network: network, address: address))
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
            if engine.removeValue(forKey: endpoint.id) != nil, reserving {
                noteReservation(of: Place(network: endpoint.network, address: endpoint.ipv4), now: now)
            } else {
                addresses[endpoint.network]?.release(endpoint.ipv4, now: now)
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

    /// Answers what waited for the data path. An endpoint that could not be made is taken back.
    mutating func datapathApplied(
        _ generation: Generation, failures: [EndpointID: String], failure: String?, now: Instant
    ) {
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
