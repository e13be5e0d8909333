import NIOCore
package import NIOPosix
package import WeftLinux
package import WeftModel

/// Answers in front of the engine's resolver, in the container's own network namespace.
package struct NamespaceDoors: ContainerDoors {
    private let resolver: DNSServer
    private let threads: NIOThreadPool
    private let entered: @Sendable (EndpointID, NetworkNamespace) throws -> Void

    /// - Parameters:
    ///   - threads: for what blocks.
    ///   - entered: is told in which namespace an endpoint is.
    package init(
        resolver: DNSServer, threads: NIOThreadPool, entered: @escaping @Sendable (EndpointID, NetworkNamespace) throws -> Void
    ) {
        self.resolver = resolver
        self.threads = threads
        self.entered = entered
    }

    package func enter(_ endpoints: [EndpointID], at path: String) async throws {
        try await threads.runIfActive {
            for endpoint in endpoints { try entered(endpoint, NetworkNamespace(path: path)) }
        }
    }

    package func isThere(_ path: String) -> Bool { NetworkNamespace(path: path).isThere }

    package func open(
        at path: String, endpoints: @escaping @Sendable () -> [EndpointID]
    ) async throws -> any ContainerDoor {
        let embedded = EmbeddedResolver(in: NetworkNamespace(path: path))
        let server = try SocketAddress(ipAddress: EmbeddedResolver.address, port: 53)
        let opened = try await threads.runIfActive { try embedded.listen() }
        let sockets = try await resolver.open(
            ContainerResolver(endpoints: endpoints, server: server) { try embedded.connect(overTCP: $0) },
            datagram: opened.datagram, stream: opened.stream)
        do {
            let diversion = try await threads.runIfActive { try embedded.divert(to: opened.port) }
            return Door(sockets: sockets, diversion: diversion)
        } catch {
            await sockets.close()
            throw error
        }
    }

    private struct Door: ContainerDoor {
        let sockets: ContainerSockets
        let diversion: EmbeddedResolver.Diversion

        func close() async {
            diversion.end()
            await sockets.close()
        }
    }
}
