/// Names one object of the store.
package struct StoreKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let kind: StoreKind
    package let id: String

    package init(kind: StoreKind, id: String) {
        self.kind = kind
        self.id = id
    }

    package static func < (left: Self, right: Self) -> Bool { (left.kind, left.id) < (right.kind, right.id) }
    package var description: String { "\(kind) \(id)" }
}

/// The certificate authority's private key; one object of this kind is in the store, under the cluster's id.
package struct AuthorityKey: StoredValue {
    package static let kind = StoreKind("authority", rank: 10)
    package static let hasSecrets = true
    package typealias Assigned = Untold

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
package struct StoredObject: Sendable {
    package private(set) var value: any StoredValue

    package init(_ value: any StoredValue) { self.value = value }

    package var kind: StoreKind { type(of: value).kind }
    package var key: StoreKey { value.key }
    package var id: String { key.id }

    /// The revision at which the object was last put; setting it is the store's business.
    package var version: Version {
        get { value.version }
        set { value.version = newValue }
    }

    /// The object, if it is of the type.
    package func `as`<Value: StoredValue>(_ type: Value.Type) -> Value? { value as? Value }
}

extension StoredObject: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        func isEqual<Left: StoredValue>(_ left: Left) -> Bool { left == right.value as? Left }
        return isEqual(left.value)
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(value) }
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
    /// The revision that the writes were worked out at, where they rest on more than the objects that they replace: the
    /// store must still be at it. Nil: the writes' own guards are enough.
    package var base: Version?

    package init(_ writes: [StoreWrite] = [], base: Version? = nil) {
        self.writes = writes
        self.base = base
    }
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
