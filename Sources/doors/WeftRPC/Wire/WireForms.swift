internal import WeftModel
internal import WeftNet

/// The kinds with fields of their own in `Assignments`.

/// Two fields of `Assignments` that a kind has for itself: objects put, and the ids of those removed.
struct FieldPair<Message> {
    /// As in proto/weft.proto; the other is `removed_` and this.
    let name: String
    let put: WritableKeyPath<Weft_V1_Assignments, [Message]>
    let removed: WritableKeyPath<Weft_V1_Assignments, [String]>
    let id: KeyPath<Message, String>
}

/// A kind whose fields are such a pair and nothing else.
protocol PairedWireForm: WireForm {
    static var fields: FieldPair<Message> { get }
}

extension PairedWireForm {
    static var hasFields: Bool { true }

    static func write(_ delta: Delta<Self>, to wire: inout Weft_V1_Assignments) {
        wire[keyPath: fields.put] = delta.put.map(\.message)
        wire[keyPath: fields.removed] = delta.removed.map(\.text)
    }

    static func read(
        _ wire: Weft_V1_Assignments, _ field: String, _ skipped: inout [WireError]
    ) throws(WireError) -> Delta<Self> {
        let id = fields.id
        return Delta(
            put: Wire.objects(wire[keyPath: fields.put], "\(field).\(fields.name)", &skipped) { $0[keyPath: id] },
            removed: Wire.ids(wire[keyPath: fields.removed], "\(field).removed_\(fields.name)", &skipped))
    }
}

extension ClusterView: WireForm {
    var message: Weft_V1_ClusterView { Weft_V1_ClusterView(self) }

    init(message: Weft_V1_ClusterView, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        try self.init(wire: message, field)
    }

    var sizeBytes: Int { rootCertificatesPEM.utf8.count }

    static var hasFields: Bool { true }

    static func write(_ delta: Delta<ClusterView>, to wire: inout Weft_V1_Assignments) {
        if let view = delta.put.last { wire.cluster = view.message }
    }

    /// One that makes no sense leaves nothing of the set.
    static func read(
        _ wire: Weft_V1_Assignments, _ field: String, _ skipped: inout [WireError]
    ) throws(WireError) -> Delta<ClusterView> {
        wire.hasCluster ? Delta(put: [try ClusterView(wire: wire.cluster, "\(field).cluster")]) : Delta()
    }
}

extension Network: PairedWireForm {
    var message: Weft_V1_Network { Weft_V1_Network(self) }

    init(message: Weft_V1_Network, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        try self.init(wire: message, field)
    }

    var sizeBytes: Int { spec.sizeBytes + 256 }

    static var fields: FieldPair<Weft_V1_Network> {
        FieldPair(name: "networks", put: \.networks, removed: \.removedNetworks, id: \.id)
    }
}

extension Peer: PairedWireForm {
    var message: Weft_V1_Peer { Weft_V1_Peer(self) }

    init(message: Weft_V1_Peer, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        try self.init(wire: message, field)
    }

    var sizeBytes: Int { hostname.utf8.count + (managerAddress?.utf8.count ?? 0) + 64 }

    static var fields: FieldPair<Weft_V1_Peer> {
        FieldPair(name: "peers", put: \.peers, removed: \.removedPeers, id: \.id)
    }
}

extension Endpoint: PairedWireForm {
    var message: Weft_V1_Endpoint { Weft_V1_Endpoint(self) }

    init(message: Weft_V1_Endpoint, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        try self.init(wire: message, field, &skipped)
    }

    static var fields: FieldPair<Weft_V1_Endpoint> {
        FieldPair(name: "endpoints", put: \.endpoints, removed: \.removedEndpoints, id: \.id)
    }
}

extension AddressLease: WireForm {
    var message: Weft_V1_AddressLease { Weft_V1_AddressLease(self) }

    init(message: Weft_V1_AddressLease, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        self = message.block.hasNetwork6 ? try .ipv6(wire: message, field) : try .ipv4(wire: message, field)
    }

    var sizeBytes: Int { 128 }

    static var hasFields: Bool { true }

    /// Nodes of former versions take any block among `leases` for one of IPv4.
    static func write(_ delta: Delta<AddressLease>, to wire: inout Weft_V1_Assignments) {
        wire.leases = delta.put.filter { $0.block.family == .v4 }.map(\.message)
        wire.leases6 = delta.put.filter { $0.block.family == .v6 }.map(\.message)
        wire.removedLeases = delta.removed
    }

    static func read(
        _ wire: Weft_V1_Assignments, _ field: String, _ skipped: inout [WireError]
    ) throws(WireError) -> Delta<AddressLease> {
        var delta = Delta<AddressLease>()
        delta.put = Wire.list(wire.leases, "\(field).leases", &skipped) { lease, field throws(WireError) in
            try .ipv4(wire: lease, field)
        }
        delta.put += Wire.list(wire.leases6, "\(field).leases6", &skipped) { lease, field throws(WireError) in
            try .ipv6(wire: lease, field)
        }
        delta.removed = Wire.ids(wire.removedLeases, "\(field).removed_leases", &skipped)
        return delta
    }
}
