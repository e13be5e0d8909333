/// A change of one of the swarm's objects, as `docker events` tells of it.
package struct ClusterEvent: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable { case node, network, service, secret, config }
    package enum Action: String, Hashable, Sendable { case create, update, remove }

    package var kind: Kind
    package var action: Action
    package var id: String
    /// The object's name, and for what changed `….old` and `….new`.
    package var attributes: [String: String]
    package var time: Instant

    package init(kind: Kind, action: Action, id: String, attributes: [String: String], time: Instant) {
        self.kind = kind
        self.action = action
        self.id = id
        self.attributes = attributes
        self.time = time
    }
}
