import WeftWire

/// What one asker, and all of them, may have of the resolver at once. An asker is a sandbox, whichever of its addresses asks.
///
/// No number here is a rate: who asks faster than it is answered waits, and makes nobody else wait for more than a turn.
package struct DNSLimits: Hashable, Sendable {
    /// Connections over TCP.
    package var connections = 1024
    package var connectionsOfAsker = 64
    /// Queries on one connection that wait for an answer from outside; more are not read until there is one.
    package var pipelined = 64
    /// Sockets to resolvers outside: a query takes one for each resolver that is asked.
    package var upstreamSockets = 4096
    package var upstreamSocketsOfAsker = 512
    package var times = DNSTimes()

    /// The longest query over TCP. Names have at most 255 octets; the rest is room for options.
    static let querySizeMax = 4096
    /// Queries over TCP that are answered before the event loop looks at its sockets again.
    static let turnsAtOnce = 64

    package init() {}

    /// Within what the process may have open, of which names take three eighths at most.
    package init(descriptors: Int) {
        connections = max(1, min(connections, descriptors / 8))
        connectionsOfAsker = max(1, min(connectionsOfAsker, connections / 4))
        upstreamSockets = max(1, min(upstreamSockets, descriptors / 4))
        upstreamSocketsOfAsker = max(1, min(upstreamSocketsOfAsker, upstreamSockets / 4))
    }
}
