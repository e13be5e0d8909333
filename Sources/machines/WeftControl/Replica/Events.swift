import WeftModel

/// A kind of objects whose changes those who watch the swarm hear of.
protocol WatchedValue: StoredValue {
    static var eventKind: ClusterEvent.Kind { get }
    var createdAt: Instant { get }
    var updatedAt: Instant { get }
    /// With what became of it since `old`.
    func eventAttributes(since old: Self?) -> [String: String]
    /// Whether there is anything to tell of what became of `old`.
    func isEvent(since old: Self) -> Bool
}

extension WatchedValue {
    func isEvent(since old: Self) -> Bool { true }
}

extension WatchedValue where Self: SharedFile {
    /// Which nodes need it is nobody's business.
    func isEvent(since old: Self) -> Bool { spec != old.spec }
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

    private static func event<Value: WatchedValue>(of value: Value, since old: (any StoredValue)?) -> ClusterEvent? {
        if let old = old as? Value, !value.isEvent(since: old) { return nil }
        return ClusterEvent(
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

extension Service: WatchedValue {
    static var eventKind: ClusterEvent.Kind { .service }

    func eventAttributes(since old: Service?) -> [String: String] {
        var attributes = ["name": spec.name]
        guard let old else { return attributes }
        func note(_ name: String, _ before: String?, _ after: String?) {
            guard before != after else { return }
            if let before { attributes["\(name).old"] = before }
            if let after { attributes["\(name).new"] = after }
        }
        note("image", old.spec.task.container.image, spec.task.container.image)
        note("replicas", old.spec.mode.replicas, spec.mode.replicas)
        if let state = updateStatus?.state { note("updatestate", old.updateStatus?.state.rawValue, state.rawValue) }
        return attributes
    }
}

extension ServiceMode {
    fileprivate var replicas: String? {
        if case .replicated(let count) = self { String(count) } else { nil }
    }
}

extension StoredSecret: WatchedValue {
    static var eventKind: ClusterEvent.Kind { .secret }
    func eventAttributes(since old: StoredSecret?) -> [String: String] { ["name": spec.name] }
}

extension StoredConfig: WatchedValue {
    static var eventKind: ClusterEvent.Kind { .config }
    func eventAttributes(since old: StoredConfig?) -> [String: String] { ["name": spec.name] }
}
