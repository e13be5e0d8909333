import WeftModel

/// A kind of objects whose changes those who watch the swarm hear of.
protocol WatchedValue: StoredValue {
    static var eventKind: ClusterEvent.Kind { get }
    var createdAt: Instant { get }
    var updatedAt: Instant { get }
    /// With what became of it since `old`.
    func eventAttributes(since old: Self?) -> [String: String]
}

/// What a commit means to who watches the swarm.
extension Replica.Change {
    /// `now` is when it was seen, of the clock on the wall.
    func event(now: Instant) -> ClusterEvent? {
        switch (old?.value, new?.value) {
        case (let old, let new as any WatchedValue): Self.event(of: new, since: old)
        case (let old as any WatchedValue, nil): Self.removal(of: old, now: now)
        default: nil
        }
    }

    private static func event<Value: WatchedValue>(of value: Value, since old: (any StoredValue)?) -> ClusterEvent {
        ClusterEvent(
            kind: Value.eventKind, action: old == nil ? .create : .update, id: value.id.text,
            attributes: value.eventAttributes(since: old as? Value), time: old == nil ? value.createdAt : value.updatedAt)
    }

    private static func removal<Value: WatchedValue>(of value: Value, now: Instant) -> ClusterEvent {
        ClusterEvent(
            kind: Value.eventKind, action: .remove, id: value.id.text, attributes: value.eventAttributes(since: nil), time: now)
    }
}

extension Network: WatchedValue {
    static var eventKind: ClusterEvent.Kind { .network }
    func eventAttributes(since old: Network?) -> [String: String] { ["name": spec.name] }
}

extension Node: WatchedValue {
    static var eventKind: ClusterEvent.Kind { .node }

    func eventAttributes(since old: Node?) -> [String: String] {
        var attributes = ["name": description?.hostname ?? ""]
        guard let old else { return attributes }
        func note(_ name: String, _ before: String, _ after: String) {
            guard before != after else { return }
            attributes["\(name).old"] = before
            attributes["\(name).new"] = after
        }
        note("availability", old.spec.availability.rawValue, spec.availability.rawValue)
        note("role", old.spec.role.rawValue, spec.role.rawValue)
        note("state", old.state.rawValue, state.rawValue)
        return attributes
    }
}
