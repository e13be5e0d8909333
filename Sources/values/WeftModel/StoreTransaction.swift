/// Kinds of objects in the store, in the order in which snapshots list them.
package enum StoreKind: String, Hashable, Sendable, Codable, CaseIterable, Comparable {
    case cluster, authority, node, network, endpoint, lease

    private var rank: Int {
        switch self {
        case .cluster: 0
        case .authority: 1
        case .node: 2
        case .network: 3
        case .endpoint: 4
        case .lease: 5
        }
    }

    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// Names one object of the store.
package struct StoreKey: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    package let kind: StoreKind
    package let id: String

    package init(kind: StoreKind, id: String) {
        self.kind = kind
        self.id = id
    }

    package static func < (left: Self, right: Self) -> Bool { (left.kind, left.id) < (right.kind, right.id) }
    package var description: String { "\(kind.rawValue) \(id)" }
}

/// The certificate authority's private key; one object of this kind is in the store, under the cluster's id.
package struct AuthorityKey: Hashable, Sendable, Codable, Identifiable {
    package let id: ClusterID
    package var version: Version
    /// PEM (PKCS #8).
    package var privateKeyPEM: Secret
    /// The key of the root to come, during a rotation.
    package var nextPrivateKeyPEM: Secret?

    package init(id: ClusterID, version: Version = .none, privateKeyPEM: Secret) {
        self.id = id
        self.version = version
        self.privateKeyPEM = privateKeyPEM
    }
}

/// Any object of the store.
package enum StoredObject: Hashable, Sendable, Codable {
    case cluster(Cluster)
    case authority(AuthorityKey)
    case node(Node)
    case network(Network)
    case endpoint(Endpoint)
    case lease(AddressLease)

    package var kind: StoreKind {
        switch self {
        case .cluster: .cluster
        case .authority: .authority
        case .node: .node
        case .network: .network
        case .endpoint: .endpoint
        case .lease: .lease
        }
    }

    package var id: String {
        switch self {
        case .cluster(let object): object.id.rawValue
        case .authority(let object): object.id.rawValue
        case .node(let object): object.id.rawValue
        case .network(let object): object.id.rawValue
        case .endpoint(let object): object.id.rawValue
        case .lease(let object): object.id
        }
    }

    package var key: StoreKey { StoreKey(kind: kind, id: id) }

    /// The revision at which the object was last put; setting it is the store's business.
    package var version: Version {
        get {
            switch self {
            case .cluster(let object): object.version
            case .authority(let object): object.version
            case .node(let object): object.version
            case .network(let object): object.version
            case .endpoint(let object): object.version
            case .lease(let object): object.version
            }
        }
        set {
            switch self {
            case .cluster(var object):
                object.version = newValue
                self = .cluster(object)
            case .authority(var object):
                object.version = newValue
                self = .authority(object)
            case .node(var object):
                object.version = newValue
                self = .node(object)
            case .network(var object):
                object.version = newValue
                self = .network(object)
            case .endpoint(var object):
                object.version = newValue
                self = .endpoint(object)
            case .lease(var object):
                object.version = newValue
                self = .lease(object)
            }
        }
    }
}

/// One guarded change.
package enum StoreWrite: Hashable, Sendable {
    /// Writes the object, whose version must be `expecting` in the store; `.none`: there must be no such object.
    /// The object's own `version` is ignored and replaced by the revision of the commit.
    case put(StoredObject, expecting: Version)
    /// Deletes the object at that version; nil: whatever its version, and no error if it is gone.
    case delete(StoreKey, expecting: Version?)

    package var key: StoreKey {
        switch self {
        case .put(let object, _): object.key
        case .delete(let key, _): key
        }
    }
}

/// Changes that happen together or not at all. A key occurs at most once.
package struct Transaction: Hashable, Sendable {
    package var writes: [StoreWrite]
    package init(_ writes: [StoreWrite] = []) { self.writes = writes }
}

/// Everything in the store at one revision, sorted by key.
package struct StoreSnapshot: Hashable, Sendable {
    package let revision: Version
    package let objects: [StoredObject]

    package init(revision: Version, objects: [StoredObject]) {
        self.revision = revision
        self.objects = objects
    }
}
