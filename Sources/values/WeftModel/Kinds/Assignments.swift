/// What changes for a node about one kind of objects.
package struct Delta<Value: AssignedValue>: Hashable, Sendable {
    /// As they are from now on.
    package var put: [Value]
    package var removed: [Value.ID]

    package init(put: [Value] = [], removed: [Value.ID] = []) {
        self.put = put
        self.removed = removed
    }

    package var isEmpty: Bool { put.isEmpty && removed.isEmpty }
    /// Of both.
    package var ids: [Value.ID] { put.map(\.id) + removed }
}

/// A delta whose kind one need not know.
package protocol ErasedDelta: Sendable {
    associatedtype Value: AssignedValue
    var typed: Delta<Value> { get }
}

extension Delta: ErasedDelta {
    package var typed: Self { self }
}

/// Changes to what a node must know. A full set replaces everything, a delta is laid over it; both end at `revision`.
package struct Assignments: Sendable {
    /// True: what is not in here is gone.
    package var isFull: Bool
    /// The revision a delta starts from; ignored for a full set. A node at another revision asks for a full set.
    package var baseRevision: Version
    package var revision: Version
    /// The manager waits to hear that they are in force: the node sends a heartbeat as soon as its data path and its names follow.
    package var wantsAcknowledgement = false
    /// None of them is empty.
    private var byKind: [StoreKind: any ErasedDelta] = [:]

    package init(isFull: Bool, baseRevision: Version, revision: Version) {
        self.isFull = isFull
        self.baseRevision = baseRevision
        self.revision = revision
    }

    package subscript<Value: AssignedValue>(_ type: Value.Type) -> Delta<Value> {
        get { byKind[Value.kind] as? Delta<Value> ?? Delta() }
        _modify {
            // Out of the dictionary while it is changed, so that it is changed in place.
            var delta = byKind.removeValue(forKey: Value.kind) as? Delta<Value> ?? Delta()
            defer { if !delta.isEmpty { byKind[Value.kind] = delta } }
            yield &delta
        }
    }

    /// Those with something in them, in the order of their kinds.
    package var deltas: [any ErasedDelta] { byKind.sorted { $0.key < $1.key }.map(\.value) }

    /// Whether there is nothing to tell.
    package var isEmpty: Bool { !isFull && byKind.isEmpty }

    /// Lays a further part of the same set over what came before it.
    package mutating func append(_ part: Assignments) {
        func append<Value: AssignedValue>(_ delta: Delta<Value>) {
            self[Value.self].put += delta.put
            self[Value.self].removed += delta.removed
        }
        wantsAcknowledgement = wantsAcknowledgement || part.wantsAcknowledgement
        for delta in part.deltas { open(delta) }
        func open(_ delta: some ErasedDelta) { append(delta.typed) }
    }
}

extension Assignments: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        func isEqual<Left: ErasedDelta>(_ left: Left, _ right: any ErasedDelta) -> Bool {
            left.typed == right as? Delta<Left.Value>
        }
        return left.isFull == right.isFull && left.baseRevision == right.baseRevision && left.revision == right.revision
            && left.wantsAcknowledgement == right.wantsAcknowledgement && left.byKind.count == right.byKind.count
            && left.byKind.allSatisfy { kind, delta in right.byKind[kind].map { isEqual(delta, $0) } ?? false }
    }

    package func hash(into hasher: inout Hasher) {
        func add(_ delta: some ErasedDelta, _ hasher: inout Hasher) { hasher.combine(delta.typed) }
        hasher.combine(isFull)
        hasher.combine(baseRevision)
        hasher.combine(revision)
        for delta in deltas { add(delta, &hasher) }
    }
}

/// The cluster, of which there is one.
extension Assignments {
    package var cluster: ClusterView? {
        get { self[ClusterView.self].put.last }
        set { self[ClusterView.self].put = newValue.map { [$0] } ?? [] }
    }
}
