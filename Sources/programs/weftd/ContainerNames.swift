import Logging
import NIOCore
import NIOPosix
import Synchronization
import WeftAgent
import WeftLinux
import WeftModel

/// Names inside the containers of an engine that takes Weft's driver: weftd answers there, in front of the engine's resolver.
///
/// The engine tells its driver of an endpoint when the endpoint joins a container, and of the container's network namespace by the
/// path at which that will be. Docker before version 28 makes the namespace only then, so that it is waited for: it is there some
/// tens of milliseconds before the container's first process, and so is weftd. What the engine says of the container later makes
/// up for a path that cannot be seen from here.
actor ContainerNames {
    /// One namespace, for as long as it has endpoints on the swarm's networks.
    private struct Room {
        let endpoints = Endpoints()
        var container: SandboxID?
        var waiting: Task<Void, Never>?
        var isOpening = false
        var door: Door?
    }

    private struct Door {
        let sockets: ContainerDoor
        let diversion: EmbeddedResolver.Diversion

        func close() async {
            diversion.end()
            await sockets.close()
        }
    }

    /// Of one container, as the resolver reads them with every query.
    private final class Endpoints: Sendable {
        private let ids = Mutex<[EndpointID]>([])
        var all: [EndpointID] { ids.withLock { $0 } }
        func insert(_ id: EndpointID) { ids.withLock { if !$0.contains(id) { $0.append(id) } } }
        /// True when none is left.
        func remove(_ id: EndpointID) -> Bool {
            ids.withLock { ids in
                ids.removeAll { $0 == id }
                return ids.isEmpty
            }
        }
    }

    /// How often a namespace that is to come is looked for, and how long.
    private static let interval = Duration.milliseconds(2)
    private static let patience = Duration.seconds(60)

    private let threads: NIOThreadPool
    private let logger: Logger
    /// By the engine's key of the namespace.
    private var rooms: [String: Room] = [:]

    init(threads: NIOThreadPool, logger: Logger) {
        self.threads = threads
        self.logger = logger
    }

    /// The engine's key of a namespace, out of the path that it gives for it.
    static func key(ofPath path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// An endpoint joins the container whose namespace is at `path`, or will be. Where it is already, names of the swarm resolve
    /// there once this returns. `mayCome` false: one that is not there is gone.
    func join(_ endpoint: EndpointID, path: String, mayCome: Bool = true, by resolver: DNSServer) async {
        let key = Self.key(ofPath: path)
        let namespace = NetworkNamespace(path: path)
        guard mayCome || namespace.isThere else { return }
        let room = room(key)
        room.endpoints.insert(endpoint)
        guard room.door == nil, room.waiting == nil else { return }
        if namespace.isThere { return await open(key, namespace, resolver) }
        rooms[key]?.waiting = Task {
            await self.wait(key, namespace, resolver)
            self.update(key, room.endpoints) { $0.waiting = nil }
        }
    }

    /// Changes the room of these endpoints, unless it was left meanwhile, or left and joined again; false then.
    @discardableResult
    private func update(_ key: String, _ endpoints: Endpoints, _ body: (inout Room) -> Void) -> Bool {
        guard var room = rooms[key], room.endpoints === endpoints else { return false }
        body(&room)
        rooms[key] = room
        return true
    }

    private func room(_ key: String) -> Room {
        let room = rooms[key] ?? Room()
        rooms[key] = room
        return room
    }

    /// An endpoint is no more.
    func leave(_ endpoint: EndpointID) async {
        for (key, room) in rooms where room.endpoints.all.contains(endpoint) {
            if room.endpoints.remove(endpoint) { await close(key) }
        }
    }

    /// The container that runs as `process` has these endpoints, and the engine calls its namespace by `key`. Returns once names of
    /// the swarm resolve there.
    func serve(
        _ container: SandboxID, process: Int32, key: String, endpoints: [EndpointID], by resolver: DNSServer
    ) async {
        for (other, room) in rooms where room.container == container && other != key { await close(other) }
        let room = room(key)
        for endpoint in endpoints { room.endpoints.insert(endpoint) }
        rooms[key]?.container = container
        if room.door == nil { await open(key, NetworkNamespace(path: "/proc/\(process)/ns/net"), resolver) }
    }

    /// The container does not run, or is on none of the swarm's networks: its names are left to its engine.
    func end(_ container: SandboxID) async {
        for (key, room) in rooms where room.container == container { await close(key) }
    }

    /// All containers but these are gone.
    func endAll(but kept: Set<SandboxID>) async {
        for (key, room) in rooms { if let container = room.container, !kept.contains(container) { await close(key) } }
    }

    func endAll() async { for key in rooms.keys { await close(key) } }

    private func wait(_ key: String, _ namespace: NetworkNamespace, _ resolver: DNSServer) async {
        let end = ContinuousClock.now + Self.patience
        while !Task.isCancelled, ContinuousClock.now < end {
            if namespace.isThere { return await open(key, namespace, resolver) }
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func open(_ key: String, _ namespace: NetworkNamespace, _ resolver: DNSServer) async {
        guard let room = rooms[key], room.door == nil, !room.isOpening else { return }
        rooms[key]?.isOpening = true
        do {
            let door = try await door(in: namespace, for: room.endpoints, resolver)
            let isOpen = update(key, room.endpoints) { ($0.isOpening, $0.door) = (false, door) }
            if !isOpen { await door.close() }
        } catch {
            update(key, room.endpoints) { $0.isOpening = false }
            logger.warning(
                "a container does not get the swarm's names from weftd first",
                metadata: ["namespace": "\(namespace)", "reason": "\(error)"])
        }
    }

    private func door(
        in namespace: NetworkNamespace, for endpoints: Endpoints, _ resolver: DNSServer
    ) async throws -> Door {
        let embedded = EmbeddedResolver(in: namespace)
        let server = try SocketAddress(ipAddress: EmbeddedResolver.address, port: 53)
        let opened = try await threads.runIfActive { try embedded.listen() }
        let sockets = try await resolver.open(
            ContainerResolver(endpoints: { endpoints.all }, server: server) { try embedded.connect(overTCP: $0) },
            datagram: opened.datagram, stream: opened.stream)
        do {
            return Door(sockets: sockets, diversion: try await threads.runIfActive { try embedded.divert(to: opened.port) })
        } catch {
            await sockets.close()
            throw error
        }
    }

    private func close(_ key: String) async {
        guard let room = rooms.removeValue(forKey: key) else { return }
        room.waiting?.cancel()
        await room.door?.close()
    }
}
