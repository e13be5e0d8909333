package import WeftModel
package import WeftNet
package import WeftNode

/// How a round of the data path went.
package struct ReconcileOutcome: Sendable {
    package var generation: Generation
    /// Endpoints that are not what they should be, each with a sentence.
    package var failures: [EndpointID: String] = [:]
    /// Nothing could be applied, and why.
    package var failure: String?
    /// The kernel refused something, so that it is worth trying again.
    package var isRefused = false
    /// Overlay addresses that interfaces of this host have now; nil while nobody could look.
    package var addressesHeld: Set<IPAddress>? = []

    package init(generation: Generation) { self.generation = generation }
}

/// What a round of the data path is to reach.
package struct ReconcileRequest: Sendable {
    /// Since the request before; the first one has everything.
    package let change: ViewChange
    package let generation: Generation
    /// Look at the kernel anew instead of trusting what was read and written before.
    package let observe: Bool

    package init(change: ViewChange, generation: Generation, observe: Bool) {
        self.change = change
        self.generation = generation
        self.observe = observe
    }
}

/// What names and data path were not told yet. What comes while they work is merged: only what came last counts.
package struct DueChanges: Sendable {
    /// For names and data path.
    private var change = ViewChange()
    /// Nil: the data path can wait.
    private var generation: Generation?
    private var observe = false
    /// What the data path was not asked for yet, though the names know it.
    private var unreconciled = ViewChange()

    package init() {}

    package var isEmpty: Bool { change.isEmpty && unreconciled.isEmpty && generation == nil && !observe }

    /// `generation`: what the data path reaches with this change and those before; nil when only names matter for now.
    package mutating func add(_ change: ViewChange, generation: Generation?, observe: Bool) {
        self.change.merge(change)
        self.generation = generation ?? self.generation
        self.observe = self.observe || observe
    }

    /// What the names are to learn, and the round that the data path has to go, if it has to.
    package mutating func take() -> (names: ViewChange, request: ReconcileRequest?) {
        let change = change
        self.change = ViewChange()
        unreconciled.merge(change)
        guard let generation else { return (change, nil) }
        let request = ReconcileRequest(change: unreconciled, generation: generation, observe: observe)
        self = DueChanges()
        return (change, request)
    }
}
