/// The kinds of objects there are. Whoever reads objects from outside, a store, a node's file or a message, looks them up here;
/// all else finds an object's kind at the object.
package struct Kinds: Sendable {
    /// One line a kind, in the order of their ranks.
    package static let all = Kinds([
        Cluster.self,
        AuthorityKey.self,
        Node.self,
        Network.self,
        Service.self,
        AddressLease.self,
        Endpoint.self,
        StoredSecret.self,
        StoredConfig.self,
        ServiceTask.self,
        SignedStatement.self,
        KeyReadiness.self,
    ])

    package let stored: [any StoredValue.Type]
    /// What nodes are told of them.
    package let assigned: [any AssignedValue.Type]
    private let byName: [String: any StoredValue.Type]

    package init(_ kinds: [any StoredValue.Type]) {
        stored = kinds
        assigned = kinds.map { Self.assigned(of: $0) }.filter { $0 != Untold.self }
        byName = Dictionary(kinds.map { ($0.kind.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    package func type(named name: String) -> (any StoredValue.Type)? { byName[name] }

    private static func assigned<Value: StoredValue>(of type: Value.Type) -> any AssignedValue.Type { Value.Assigned.self }
}
