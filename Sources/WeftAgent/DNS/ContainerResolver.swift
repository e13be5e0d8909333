package import NIOCore
package import WeftModel

/// The container engine's own resolver in a container, which this node's stands in front of there.
///
/// A container that was not made to ask weftd, since it joined one of the swarm's networks later, asks its engine for all
/// names. What the swarm has a record for is answered here; all the rest is the engine's: names on its own networks, and
/// whatever servers the container was given.
package struct ContainerResolver: Sendable {
    package let sandbox: SandboxID
    /// Where the engine's resolver is, seen from the container.
    package let server: SocketAddress
    /// Makes a socket that is connected to the engine's resolver; the caller owns it.
    package let connect: @Sendable (_ overTCP: Bool) throws -> Int32

    package init(
        sandbox: SandboxID, server: SocketAddress, connect: @escaping @Sendable (_ overTCP: Bool) throws -> Int32
    ) {
        self.sandbox = sandbox
        self.server = server
        self.connect = connect
    }
}

/// Sockets in one container on which a `DNSServer` answers.
package struct ContainerDoor: Sendable {
    let channels: [any Channel]

    package func close() async {
        for channel in channels { try? await channel.close() }
    }
}
