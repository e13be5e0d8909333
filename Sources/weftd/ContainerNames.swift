import Logging
import NIOCore
import NIOPosix
import WeftAgent
import WeftLinux
import WeftModel

/// The engine's containers that were not made to ask weftd for names: weftd answers inside them, in front of their engine.
actor ContainerNames {
    private struct Served {
        let process: Int32
        let door: ContainerDoor
        let embedded: EmbeddedResolver
    }

    private let threads: NIOThreadPool
    private let logger: Logger
    private var served: [SandboxID: Served] = [:]
    /// Changes wait for each other: events of one container come close together.
    private var last: Task<Void, Never>?

    init(threads: NIOThreadPool, logger: Logger) {
        self.threads = threads
        self.logger = logger
    }

    /// Returns once names of the swarm resolve in the container.
    func serve(_ container: SandboxID, process: Int32, by resolver: DNSServer) async {
        await inTurn {
            guard await self.served[container]?.process != process else { return }
            await self.close(container)
            do { try await self.open(container, process, resolver) } catch {
                self.logger.warning(
                    "a container does not get the swarm's names", metadata: ["container": "\(container)", "reason": "\(error)"])
            }
        }
    }

    /// Leaves the container's names to its engine again.
    func end(_ container: SandboxID) async {
        guard served[container] != nil || last != nil else { return }
        await inTurn { await self.close(container) }
    }

    func endAll(but kept: Set<SandboxID> = []) async {
        await inTurn { for container in await self.served.keys where !kept.contains(container) { await self.close(container) } }
    }

    private func inTurn(_ body: @escaping @Sendable () async -> Void) async {
        let before = last
        let task = Task {
            await before?.value
            await body()
        }
        last = task
        await task.value
    }

    private func open(_ container: SandboxID, _ process: Int32, _ resolver: DNSServer) async throws {
        let embedded = EmbeddedResolver(in: NetworkNamespace(path: "/proc/\(process)/ns/net"))
        let server = try SocketAddress(ipAddress: EmbeddedResolver.address, port: 53)
        let sockets = try await threads.runIfActive { try embedded.listen() }
        let door = try await resolver.open(
            ContainerResolver(sandbox: container, server: server) { try embedded.connect(overTCP: $0) },
            datagram: sockets.datagram, stream: sockets.stream)
        do { try await threads.runIfActive { try embedded.divert(to: sockets.port) } } catch {
            await door.close()
            throw error
        }
        served[container] = Served(process: process, door: door, embedded: embedded)
    }

    private func close(_ container: SandboxID) async {
        guard let served = served.removeValue(forKey: container) else { return }
        // Gone with the container, most often.
        try? await threads.runIfActive { try served.embedded.restore() }
        await served.door.close()
    }
}
