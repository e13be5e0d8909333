package import WeftModel
package import WeftNet

/// What a node must know after a restart, with or without a manager. Written as one, or `own` before `view`.
package struct SavedNode: Hashable, Sendable {
    /// What is the node's own truth. Must never be older than what the node did.
    package var own = Own()
    /// What the manager said, as a full set; its `leases` are in `own`. May be older than `own`.
    package var view = Assignments(isFull: true, baseRevision: .none, revision: .none)
    /// The view was saved by a version that did not know all kinds that this one does: a manager must say all of it again.
    package var lacksKinds = false
    /// The view was read from a former form: with its next change all of it is written.
    package var isOfFormerForm = false

    package init() {}

    package struct Own: Hashable, Sendable, Codable {
        package var endpoints: [Endpoint] = []
        package var leases: [AddressLease] = []
        /// `AddressLease.id` of leases that the node gave back, though the manager may not know yet.
        package var returned: [String] = []
        package var resting: [Resting] = []
        /// The manager may have freed what this node leases: nothing may be attached any more.
        package var isLeaving = false
        /// The endpoints among `endpoints` that are an engine's, and since when.
        package var engine: [EngineEndpoint] = []
        package var reservations: [Reservation] = []
        package init() {}

        package init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            endpoints = try values.decode([Endpoint].self, forKey: .endpoints)
            leases = try values.decode([AddressLease].self, forKey: .leases)
            returned = try values.decode([String].self, forKey: .returned)
            resting = try values.decode([Resting].self, forKey: .resting)
            isLeaving = try values.decode(Bool.self, forKey: .isLeaving)
            // Not in what the first version wrote.
            engine = try values.decodeIfPresent([EngineEndpoint].self, forKey: .engine) ?? []
            reservations = try values.decodeIfPresent([Reservation].self, forKey: .reservations) ?? []
        }
    }

    /// A step from one `Own` to the next.
    package struct OwnChange: Hashable, Sendable {
        /// `own` is all there is; else what it holds comes beside or over what was there.
        package var isFull = false
        package var own = Own()
        /// Whether `own` holds leases and what is of the node as a whole.
        package var changesNode = false
        package var removedEndpoints: [EndpointID] = []
        /// Neither reserved nor resting any more.
        package var removedPlaces: [Place] = []

        package init() {}

        package init(full own: Own) {
            isFull = true
            changesNode = true
            self.own = own
        }

        package var isEmpty: Bool { self == OwnChange() }
    }

    package struct EngineEndpoint: Hashable, Sendable, Codable {
        package let id: EndpointID
        package let since: Instant
        package init(id: EndpointID, since: Instant) {
            self.id = id
            self.since = since
        }
    }

    /// An address that is kept for an endpoint to come.
    package struct Reservation: Hashable, Sendable, Codable {
        package let network: NetworkID
        package let address: IPAddress
        package let since: Instant
        package init(network: NetworkID, address: IPAddress, since: Instant) {
            self.network = network
            self.address = address
            self.since = since
        }
    }

    /// A freed address that is not to be used again before `until`.
    package struct Resting: Hashable, Sendable, Codable {
        package let network: NetworkID
        package let address: IPAddress
        package let until: Instant
        package init(network: NetworkID, address: IPAddress, until: Instant) {
            self.network = network
            self.address = address
            self.until = until
        }

        var subnet: SubnetID { SubnetID(network, address.family) }
    }
}

// MARK: Changes

extension SavedNode {
    /// Lays a change over what is saved. Everything stays sorted.
    package mutating func apply(_ change: OwnChange) {
        guard !change.isFull else { return own = change.own }
        let endpoints = Set(change.own.endpoints.map(\.id) + change.removedEndpoints)
        own.endpoints.removeAll { endpoints.contains($0.id) }
        own.endpoints = (own.endpoints + change.own.endpoints).sorted { $0.id < $1.id }
        own.engine.removeAll { endpoints.contains($0.id) }
        own.engine = (own.engine + change.own.engine).sorted { $0.id < $1.id }
        let places = Set(change.own.reservations.map(\.place) + change.own.resting.map(\.place) + change.removedPlaces)
        own.reservations.removeAll { places.contains($0.place) }
        own.reservations = (own.reservations + change.own.reservations).sorted { $0.place < $1.place }
        own.resting.removeAll { places.contains($0.place) }
        own.resting = (own.resting + change.own.resting).sorted { $0.place < $1.place }
        if change.changesNode {
            own.leases = change.own.leases
            own.returned = change.own.returned
            own.isLeaving = change.own.isLeaving
        }
    }

    package mutating func apply(_ change: Assignments) {
        var view = ManagerView()
        _ = view.apply(self.view)
        view.overlay(change)
        self.view = view.assignments
    }
}

extension SavedNode.Reservation {
    package var place: Place { Place(network: network, address: address) }
}

extension SavedNode.Resting {
    package var place: Place { Place(network: network, address: address) }
}
