import WeftIPAM
package import WeftModel
package import WeftNet

/// An address of a network.
package struct Place: Hashable, Sendable, Comparable {
    package let network: NetworkID
    package let address: IPAddress

    package init(network: NetworkID, address: IPAddress) {
        self.network = network
        self.address = address
    }

    var subnet: SubnetID { SubnetID(network, address.family) }

    package static func < (left: Self, right: Self) -> Bool {
        (left.network, left.address) < (right.network, right.address)
    }
}

extension Endpoint {
    var places: [Place] { addresses.map { Place(network: network, address: $0) } }
}

/// What may be different in data path and names since the shell last took the changes.
package struct NodeChanges: Hashable, Sendable {
    /// Nothing of what was taken before is of use.
    package internal(set) var everything = true
    /// What is of the swarm as a whole.
    package internal(set) var cluster = false
    package internal(set) var networks: Set<NetworkID> = []
    package internal(set) var peers: Set<NodeID> = []
    package internal(set) var services: Set<ServiceID> = []
    package internal(set) var endpoints: Set<EndpointID> = []

    package var isEmpty: Bool {
        !everything && !cluster && networks.isEmpty && peers.isEmpty && services.isEmpty && endpoints.isEmpty
    }
}

/// What is not on disk yet.
struct Unsaved: Hashable, Sendable {
    /// Nothing is known of the disk.
    var everything = false
    var endpoints: Set<EndpointID> = []
    var places: Set<Place> = []
    /// Leases, and what is of the node as a whole.
    var node = false
    var view = ViewPart()

    /// Of what the manager said.
    struct ViewPart: Hashable, Sendable {
        var everything = false
        var ids: [StoreKind: Set<String>] = [:]
    }

    mutating func note(_ assignments: Assignments) {
        node = node || assignments.isFull
        view.everything = view.everything || assignments.isFull
        for delta in assignments.deltas { note(delta) }
    }

    private mutating func note<Delta: ErasedDelta>(_ delta: Delta) {
        if Delta.Value.rows == nil {
            node = true
        } else {
            view.ids[Delta.Value.kind, default: []].formUnion(delta.typed.ids.map(\.text))
        }
    }
}

extension NodeMachine {
    /// Whether `takeChanges` has something new to say.
    package var hasChanges: Bool { !changes.isEmpty }

    /// What changed in data path and names since the last call; everything, at first.
    package mutating func takeChanges() -> NodeChanges {
        defer {
            changes = NodeChanges()
            changes.everything = false
        }
        return changes
    }

    /// The shell changed where these endpoints belong.
    package mutating func noteChange(of sandbox: SandboxID) { changes.endpoints.formUnion(sandboxes[sandbox] ?? []) }

    /// Saving what was taken failed: all of it is taken the next time.
    package mutating func noteUnsaved() {
        unsaved.everything = true
        unsaved.view.everything = true
    }

    /// What `saved.own` has since the last call.
    package mutating func takeOwnChange() -> SavedNode.OwnChange {
        let taken = unsaved
        unsaved = Unsaved()
        unsaved.view = taken.view
        if taken.everything { return SavedNode.OwnChange(full: saved.own) }
        var change = SavedNode.OwnChange()
        for id in taken.endpoints.sorted() {
            guard let endpoint = own[id] else {
                change.removedEndpoints.append(id)
                continue
            }
            change.own.endpoints.append(endpoint)
            if let since = engine[id] { change.own.engine.append(.init(id: id, since: since)) }
        }
        for place in taken.places.sorted() {
            if let since = reservations[place] {
                change.own.reservations.append(.init(network: place.network, address: place.address, since: since))
            } else if let until = restEnd(of: place) {
                change.own.resting.append(.init(network: place.network, address: place.address, until: until))
            } else {
                change.removedPlaces.append(place)
            }
        }
        if taken.node {
            change.changesNode = true
            saveNode(in: &change.own)
        }
        return change
    }

    /// What `saved.view` has since the last call: a delta, or a full set.
    package mutating func takeViewChange() -> Assignments {
        let taken = unsaved.view
        unsaved.view = Unsaved.ViewPart()
        if taken.everything { return view.assignments }
        return view.changes(taken.ids)
    }

    private func restEnd(of place: Place) -> Instant? {
        addresses[place.subnet]?.resting[place.address]
            ?? strayRests.last { $0.network == place.network && $0.address == place.address }?.until
    }

    private func saveNode(in own: inout SavedNode.Own) {
        own.leases = sorted(view.leases.values)
        own.returned = returned.map(\.id).sorted()
        own.isLeaving = isLeaving
    }

    /// All that a restart needs.
    package var saved: SavedNode {
        var saved = SavedNode()
        saveNode(in: &saved.own)
        saved.own.endpoints = ownEndpoints
        saved.own.engine = engine.map { .init(id: $0.key, since: $0.value) }.sorted { $0.id < $1.id }
        saved.own.reservations = reservations.sorted { $0.key < $1.key }
            .map { .init(network: $0.key.network, address: $0.key.address, since: $0.value) }
        var resting = strayRests
        for (subnet, allocator) in addresses {
            for (address, until) in allocator.resting {
                resting.append(.init(network: subnet.network, address: address, until: until))
            }
        }
        saved.own.resting = resting.sorted { ($0.network, $0.address) < ($1.network, $1.address) }
        saved.view = view.assignments
        return saved
    }
}
