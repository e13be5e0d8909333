import WeftIPAM
import WeftModel
import WeftNet

/// Endpoints of a container engine: it asks for the address, makes the endpoint, tells the names, and releases the
/// address at the end, each by itself and with a restart of either side in between.
extension NodeMachine {
    mutating func reserve(
        _ id: RequestID, _ subnet: SubnetID, address: IPAddress?, for comer: Comer, now: Instant
    ) {
        do throws(AttachError) {
            guard !isLeaving else { throw .leaving }
            guard let network = view.networks[subnet.network] else { throw .networkNotFound(subnet.network.rawValue) }
            guard network.subnets.contains(subnet) else { throw .noSubnet(subnet.family, network: network.spec.name) }
            let known = former[subnet]?.address(of: comer, now: now)
            let want = Waiting.Want(family: subnet.family, address: address ?? ifFree(known, subnet))
            wait(id, .reservation, network.id, [want], now: now)
        } catch {
            effects.reserved.append((id, .failure(error)))
        }
    }

    /// An address that would be given out if it were asked for by name.
    func ifFree(_ address: IPAddress?, _ subnet: SubnetID) -> IPAddress? {
        guard let address, let allocator = addresses[subnet] else { return nil }
        return (try? allocator.checkFree(address, held: held)) == nil ? nil : address
    }

    /// Keeps an address for an endpoint to come. Durably before the engine hears of it.
    mutating func noteReservation(of place: Place, now: Instant) {
        reservations[place] = now
        unsaved.places.insert(place)
        effects.persist = true
        effects.persistUrgent = true
    }

    /// Gives a reserved address back, to rest. Addresses that are not reserved are left alone.
    mutating func release(_ place: Place, now: Instant) {
        guard reservations.removeValue(forKey: place) != nil else { return }
        addresses[place.subnet]?.release(place.address, now: now)
        unsaved.places.insert(place)
        effects.persist = true
    }

    mutating func attachEngine(_ id: RequestID, _ request: EngineAttachment, now: Instant) {
        do throws(AttachError) {
            guard !isLeaving else { throw .leaving }
            let spec = request.endpoint
            guard let network = view.networks[spec.network] else { throw .networkNotFound(spec.network.rawValue) }
            guard let ipv4 = spec.ipv4 else {
                throw .noFreeAddress(network: network.spec.name, reason: "the engine asked for none before")
            }
            let endpoint = Endpoint(
                id: request.id, network: network.id, node: self.id, sandbox: request.sandbox, ipv4: ipv4,
                ipv6: spec.ipv6, mac: spec.mac ?? freeMAC(for: ipv4, on: network.id), name: "",
                task: spec.task)
            if let known = own[endpoint.id] {
                guard known.network == endpoint.network, known.addresses == endpoint.addresses, known.mac == endpoint.mac
                else {
                    throw .endpointTaken(endpoint.id)
                }
                // Asked again: the interface may be missing.
                changes.endpoints.insert(endpoint.id)
                effects.reconcile = true
            } else {
                try checkEngine(endpoint, network)
                try takeAddresses(of: endpoint, network)
                setOwn(endpoint.id, endpoint)
                engine[endpoint.id] = now
                effects.added.append(endpoint)
            }
            unconfirmed[id] = Unconfirmed(
                endpoint: own[endpoint.id] ?? endpoint, generation: generation + 1, isAttach: true)
        } catch {
            effects.replies.append((id, .failure(error)))
        }
    }

    private func checkEngine(_ endpoint: Endpoint, _ network: Network) throws(AttachError) {
        guard endpoint.mac.rawValue != 0, !endpoint.mac.isMulticast else { throw .badMAC(endpoint.mac) }
        guard !isInUse(endpoint.mac, on: network.id) else {
            throw .macInUse(endpoint.mac, network: network.spec.name)
        }
        if let other = view.endpoints[endpoint.id], other.node != id { throw .endpointTaken(endpoint.id) }
    }

    /// Turns the reservations into use. One that ran out meanwhile is claimed anew. All are taken or none.
    private mutating func takeAddresses(of endpoint: Endpoint, _ network: Network) throws(AttachError) {
        let claimed = endpoint.places.filter { reservations[$0] == nil }
        for place in claimed {
            do throws(IPAMError) {
                guard let allocator = addresses[place.subnet] else { throw .addressNotLeased(place.address) }
                try allocator.checkFree(place.address, held: held)
            } catch {
                throw .addressRefused(place.address, network: network.spec.name, reason: error.description)
            }
        }
        for place in claimed { try? addresses[place.subnet]?.claim(place.address, held: held) }
        for place in endpoint.places { reservations[place] = nil }
    }

    mutating func rename(_ id: RequestID, _ endpoint: EndpointID, sandbox: SandboxID, name: String, aliases: [String]) {
        guard let known = own[endpoint] else {
            return effects.replies.append((id, .failure(.endpointNotFound(endpoint))))
        }
        // Without a name an endpoint is in no answer.
        for text in (name.isEmpty ? [] : [name]) + aliases where !Self.isName(text) {
            return effects.replies.append((id, .failure(.badName(text))))
        }
        let renamed = Endpoint(
            id: endpoint, network: known.network, node: known.node, sandbox: sandbox, ipv4: known.ipv4, ipv6: known.ipv6,
            mac: known.mac, name: name, aliases: aliases, task: known.task)
        if renamed != known {
            setOwn(endpoint, renamed)
            effects.added.append(renamed)
        }
        effects.replies.append((id, .success(renamed)))
    }

    /// What a manager takes.
    private static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 253
            && !text.unicodeScalars.contains { $0.properties.generalCategory == .control || $0 == " " }
    }
}
