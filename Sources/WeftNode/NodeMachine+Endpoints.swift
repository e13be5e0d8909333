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
            let wants = network.subnets.map { subnet in
                Waiting.Want(
                    family: subnet.family,
                    address: subnet.family == .v4 ? request.ipv4.map(IPAddress.v4) : request.ipv6.map(IPAddress.v6))
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
        waiting[id] = Waiting(purpose: purpose, network: network, wants: wants, deadline: now + Self.patience)
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
        if let address = request.ipv6, !network.spec.ipv6 { throw .noIPv6(address, network: name) }
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

    /// Gives a waiting attach its addresses, if there are any.
    private mutating func serve(_ id: RequestID, now: Instant) {
        guard let waiter = waiting[id], let network = view.networks[waiter.network] else { return }
        for want in waiter.wants {
            if want.address == nil { expireRests(on: SubnetID(waiter.network, want.family), now: now) }
            switch find(want, of: waiter.network) {
            case .success: continue
            // More may come: a block, or an interface's end.
            case nil, .failure(.addressNotLeased), .failure(.addressHeld), .failure(.noFreeAddress): return
            case .failure(let error):
                guard let asked = want.address else { return }
                return fail(id, .addressRefused(asked, network: network.spec.name, reason: error.description))
            }
        }
        let taken = waiter.wants.compactMap { take($0, of: waiter.network, now: now) }
        waiting[id] = nil
        switch waiter.purpose {
        case .attach(let request, let endpointID):
            guard let ipv4 = taken.lazy.compactMap(\.v4).first else { return }
            let endpoint = Endpoint(
                id: endpointID, network: waiter.network, node: self.id, sandbox: request.sandbox, ipv4: ipv4,
                ipv6: taken.lazy.compactMap(\.v6).first, mac: request.mac ?? MACAddress(forIPv4: ipv4),
                name: request.name, aliases: request.aliases)
            setOwn(endpoint.id, endpoint)
            effects.added.append(endpoint)
            unconfirmed[id] = Unconfirmed(endpoint: endpoint, generation: generation + 1, isAttach: true)
        case .reservation:
            for address in taken {
                noteReservation(of: Place(network: waiter.network, address: address), now: now)
                effects.reserved.append((id, .success(address)))
            }
        }
        for address in taken { requestSpare(SubnetID(waiter.network, address.family), now: now) }
    }

    /// The address that is wanted, not taken yet; nil where the subnet is not known.
    private func find(_ want: Waiting.Want, of network: NetworkID) -> Result<IPAddress, IPAMError>? {
        guard let allocator = addresses[SubnetID(network, want.family)] else { return nil }
        do throws(IPAMError) {
            guard let asked = want.address else { return .success(try allocator.next(held: held)) }
            try allocator.checkFree(asked, held: held)
            return .success(asked)
        } catch {
            return .failure(error)
        }
    }

    /// Takes what `find` has found. In place: a copy of the allocator is one of all its addresses.
    private mutating func take(_ want: Waiting.Want, of network: NetworkID, now: Instant) -> IPAddress? {
        let subnet = SubnetID(network, want.family)
        guard let asked = want.address else { return try? addresses[subnet]?.allocate(now: now, held: held) }
        return (try? addresses[subnet]?.claim(asked, held: held)) == nil ? nil : asked
    }

    func isToBeHad(_ want: Waiting.Want, of network: NetworkID) -> Bool {
        if case .success? = find(want, of: network) { true } else { false }
    }

    /// Asks the manager for what a waiting attach needs: the address itself, or a block.
    mutating func requestLease(for id: RequestID) {
        guard session != .closed, let waiter = waiting[id] else { return }
        for (index, want) in waiter.wants.enumerated() where want.number == nil {
            let subnet = SubnetID(waiter.network, want.family)
            if let address = want.address {
                if addresses[subnet]?.isLeased(address) ?? false { continue }
            } else if let number = spareRequests[subnet] {
                // A block is on its way already.
                waiting[id]?.wants[index].number = number
                continue
            } else if isToBeHad(want, of: waiter.network) {
                // What is missing is of the other family.
                continue
            }
            let number = nextNumber
            nextNumber += 1
            waiting[id]?.wants[index].number = number
            if want.address == nil { spareRequests[subnet] = number }
            send(.leaseRequest(number, subnet, address: want.address))
        }
    }

    /// Asks for the next block before the last address is gone, so that attaching needs no round trip. Not where blocks are
    /// so small that a spare one would be most of what another node needs.
    private mutating func requestSpare(_ subnet: SubnetID, now: Instant) {
        guard session == .synchronised, spareRequests[subnet] == nil, let allocator = addresses[subnet],
            let widest = allocator.blocks.map({ $0.width - $0.length }).max(), widest >= 3,
            allocator.freeCount() <= 1 << min(widest - 2, 30)
        else { return }
        if let refused = spareRefused[subnet], now - refused < NodeAddresses.rest { return }
        let number = nextNumber
        nextNumber += 1
        spareRequests[subnet] = number
        send(.leaseRequest(number, subnet, address: nil))
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
        own.has(mac, on: network) || view.endpoints.has(mac, on: network) { isKnown($0) }
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
