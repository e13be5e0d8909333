/// How it stands with the protected data path of a node.
package struct KeyStanding: Hashable, Sendable {
    /// A pair of nodes, this one and another.
    package struct Pair: Hashable, Sendable {
        package let node: NodeID
        /// The epoch of what is sent to it; nil: nothing can be, or only under keys of before.
        package var epoch: UInt64?
        /// Packets of it came under the keys in place.
        package var isHeard = false
        /// Packets of full length got there, and answers back.
        package var isReady = false
        /// How long the last answer took; nil: there was none.
        package var roundTrip: Duration?
        /// What is not as it should be, a sentence; empty when all is well.
        package var problem = ""

        package init(node: NodeID) { self.node = node }
    }

    /// An encrypted network is known: without one there are no keys, nor a process that has them.
    package var isNeeded = false
    /// The process that encrypts; nil: there is none.
    package var process: Int32?
    /// Why nothing is encrypted, thus nothing sent; empty when all is well.
    package var problem = ""
    /// The swarm's.
    package var epoch: UInt64 = 0
    /// Of what this node stated last; nil: nothing that the managers hold.
    package var stated: UInt64?
    /// By node.
    package var pairs: [Pair] = []
    /// Packets by what became of them, in the tunnel's words.
    package var counts: [String: UInt64] = [:]

    package init() {}
}
