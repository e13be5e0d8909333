/// Names a kind of objects. Kinds are ordered: what others refer to comes before them, in snapshots as in messages.
package struct StoreKind: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Goes into files and messages, and stays what it is.
    package let name: String
    private let rank: Int

    package init(_ name: String, rank: Int) {
        self.name = name
        self.rank = rank
    }

    /// A kind that this version does not know: it comes after all others.
    package init(unknown name: String) { self.init(name, rank: .max) }

    package static func == (left: Self, right: Self) -> Bool { left.name == right.name }
    package func hash(into hasher: inout Hasher) { hasher.combine(name) }
    package static func < (left: Self, right: Self) -> Bool { (left.rank, left.name) < (right.rank, right.name) }
    package var description: String { name }
}

/// What tells objects of one kind apart. It has a form as text, in files and messages, and is sorted as that.
package protocol ObjectID: Hashable, Comparable, Sendable {
    init(_ text: String)
    var text: String { get }
    /// Whether a peer may have sent this text for one.
    static func isValid(_ text: String) -> Bool
}

extension Identifier: ObjectID {
    package var text: String { rawValue }
    package static func isValid(_ text: String) -> Bool { Bounds.isID(text) }
}

/// Ids that are put together of others', as a lease's.
extension String: ObjectID {
    package var text: String { self }
    package static func isValid(_ text: String) -> Bool { (1...Bounds.compoundIDBytes).contains(text.utf8.count) }
}

/// An object of a kind.
package protocol KindedValue: Hashable, Sendable, Codable, Identifiable where ID: ObjectID {
    static var kind: StoreKind { get }
}

extension KindedValue {
    package static func key(_ id: ID) -> StoreKey { StoreKey(kind: kind, id: id.text) }
}

/// What nodes are told: they keep it, and have it again after a restart.
package protocol AssignedValue: KindedValue {
    /// Names the rows in the node's file; nil: the node keeps it with what is its own truth.
    static var rows: String? { get }

    // What goes over many objects is asked of the kind, so that it is compiled for the kind.

    /// What is in a table; with `ids`, what became of those.
    static func content(of table: Table<Self>, _ ids: Set<String>?) -> Delta<Self>
    static func lay(_ delta: Delta<Self>, over table: inout Table<Self>)
    /// What of it lies in the node's file: nothing secret.
    static func kept(_ delta: Delta<Self>) -> Delta<Self>
}

extension AssignedValue {
    package static var rows: String? { kind.name }
    package static func kept(_ delta: Delta<Self>) -> Delta<Self> { delta }

    package static func content(of table: Table<Self>, _ ids: Set<String>?) -> Delta<Self> {
        guard let ids else { return Delta(put: table.sorted) }
        var delta = Delta<Self>()
        for id in ids.sorted().map(ID.init) {
            if let value = table[id] { delta.put.append(value) } else { delta.removed.append(id) }
        }
        return delta
    }

    package static func lay(_ delta: Delta<Self>, over table: inout Table<Self>) {
        for id in delta.removed { table[id] = nil }
        for value in delta.put { table[value.id] = value }
    }
}

/// An object of the swarm's store.
package protocol StoredValue: KindedValue {
    /// The revision at which the object was last put; setting it is the store's business.
    var version: Version { get set }
    /// What nodes are told of it, mostly the object itself.
    associatedtype Assigned: AssignedValue
    /// Who is told.
    var audience: Audience { get }
    /// What one of the audience is told; nil: nothing.
    func assigned(to receiver: Receiver) -> Assigned?
    /// Whether nodes are told anything else than of what it was.
    func isNews(since old: Self) -> Bool
    /// Whether there are `Secret`s in it.
    static var hasSecrets: Bool { get }
    /// All of a table that the receiver is told; with `ids`, what became of those for it. A requirement as those of `AssignedValue`.
    static func told(of table: Table<Self>, _ ids: Set<String>?, to receiver: Receiver) -> Delta<Assigned>
}

extension StoredValue {
    package static func told(of table: Table<Self>, _ ids: Set<String>?, to receiver: Receiver) -> Delta<Assigned> {
        func told(_ value: Self) -> Assigned? {
            value.audience.includes(receiver.id) ? value.assigned(to: receiver) : nil
        }
        guard let ids else { return Delta(put: table.sorted.compactMap(told)) }
        var delta = Delta<Assigned>()
        for id in ids.sorted() {
            if let value = table[ID(id)].flatMap(told) {
                delta.put.append(value)
            } else {
                // It is gone, or another node's by now.
                delta.removed.append(Assigned.ID(id))
            }
        }
        return delta
    }

    package func isNews(since old: Self) -> Bool { true }
    package static var hasSecrets: Bool { false }
    package var key: StoreKey { Self.key(id) }
}

extension StoredValue where Self: AssignedValue {
    package func assigned(to receiver: Receiver) -> Self? { self }
}

extension StoredValue where Assigned == Untold {
    package var audience: Audience { .managers }
    package func assigned(to receiver: Receiver) -> Untold? { nil }
}

/// Which nodes an object concerns.
package enum Audience: Hashable, Sendable {
    case everyNode
    case node(NodeID)
    /// Those that need it.
    case nodes(Set<NodeID>)
    /// Managers, by their store: no node is told.
    case managers

    package func includes(_ node: NodeID) -> Bool {
        switch self {
        case .everyNode: true
        case .node(let only): only == node
        case .nodes(let some): some.contains(node)
        case .managers: false
        }
    }
}

/// A node that is told something.
package struct Receiver: Hashable, Sendable {
    package let id: NodeID
    package let role: NodeRole

    package init(id: NodeID, role: NodeRole) {
        self.id = id
        self.role = role
    }
}

/// What nodes are told of objects that are the managers' alone: there is none of it.
package enum Untold: AssignedValue {
    package static let kind = StoreKind("untold", rank: .max)
    package static var rows: String? { nil }
    package var id: String { switch self {} }

    package init(from decoder: any Decoder) throws {
        throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "nothing is told of it"))
    }

    package func encode(to encoder: any Encoder) throws { switch self {} }
}
