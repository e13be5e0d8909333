package import NIOCore

/// How long the resolver waits for others.
package struct DNSTimes: Hashable, Sendable {
    /// A resolver outside that says nothing is asked again after this.
    package var again = TimeAmount.seconds(2)
    /// A query to resolvers outside is given up after this, and one that is asked again over TCP once more.
    package var answer = TimeAmount.seconds(4)
    /// How long a connection to a resolver outside may take.
    package var connect = TimeAmount.seconds(2)
    /// A client's connection on which nothing arrives is closed after this.
    package var idle = TimeAmount.seconds(10)
    /// One on which a message has begun, when it is not whole after this.
    package var message = TimeAmount.seconds(5)
    /// How long a query waits until it is known whose endpoint asks.
    package var owner = TimeAmount.seconds(1)

    package init() {}
}
