package import NIOCore
package import WeftModel

/// The container engine's own resolver in a container, which this node's stands in front of there.
///
/// The engine knows the names of its own containers only, and lets them be kept for ten minutes. What the swarm has a record for
/// is answered here, the same on every host; all the rest is the engine's: names on its own networks, and whatever servers the
/// container was given.
package struct ContainerResolver: Sendable {
    /// The container's endpoints on the swarm's networks, as of now.
    package let endpoints: @Sendable () -> [EndpointID]
    /// Where the engine's resolver is, seen from the container.
    package let server: SocketAddress
    /// Makes a socket that is connected to the engine's resolver; the caller owns it.
    package let connect: @Sendable (_ overTCP: Bool) throws -> Int32

    private let identity = Identity()

    private final class Identity: Sendable {}

    /// Whatever asks in the container has one share.
    var asker: DNSAsker { .door(ObjectIdentifier(identity)) }

    package init(
        endpoints: @escaping @Sendable () -> [EndpointID], server: SocketAddress,
        connect: @escaping @Sendable (_ overTCP: Bool) throws -> Int32
    ) {
        self.endpoints = endpoints
        self.server = server
        self.connect = connect
    }
}

/// Sockets in one container on which a `DNSServer` answers.
package struct ContainerSockets: Sendable {
    let channels: [any Channel]

    package func close() async {
        for channel in channels { try? await channel.close() }
    }
}
