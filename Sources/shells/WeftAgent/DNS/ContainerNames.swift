package import Logging
import Synchronization
package import WeftModel

/// Opens what answers names inside a container.
package protocol ContainerDoors: Sendable {
    /// There is a network namespace at the path, not just a file that one may be mounted on.
    func isThere(_ path: String) -> Bool
    /// These endpoints are in the namespace at the path.
    func enter(_ endpoints: [EndpointID], at path: String) async throws
    /// Answers in the namespace at the path, for the endpoints that `endpoints` names when it is asked. Nothing is open when it
    /// throws.
    func open(at path: String, endpoints: @escaping @Sendable () -> [EndpointID]) async throws -> any ContainerDoor
}

/// One that is open.
package protocol ContainerDoor: Sendable {
    func close() async
}

/// Names inside the containers of an engine that takes Weft's driver: weftd answers there, in front of the engine's resolver.
///
/// The engine tells its driver of an endpoint when the endpoint joins a container, and of the container's network namespace by the
/// path at which that will be. Docker before version 28 makes the namespace only then, so that it is waited for: it is there some
/// tens of milliseconds before the container's first process, and so is weftd. What the engine says of the container later makes
/// up for a path that cannot be seen from here.
package actor ContainerNames {
    /// One namespace, for as long as it has endpoints on the swarm's networks.
    private struct Room {
        let endpoints = Endpoints()
        var container: SandboxID?
        var waiting: Task<Void, Never>?
        var isOpening = false
        var door: (any ContainerDoor)?
    }

    /// Of one container, as the resolver reads them with every query.
    private final class Endpoints: Sendable {
        private let ids = Mutex<[EndpointID]>([])
        var all: [EndpointID] { ids.withLock { $0 } }
        /// True for one that was not there.
        func insert(_ id: EndpointID) -> Bool {
            ids.withLock { ids in
                guard !ids.contains(id) else { return false }
                ids.append(id)
                return true
            }
        }
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

    private let logger: Logger
    /// By the engine's key of the namespace.
    private var rooms: [String: Room] = [:]

    package init(logger: Logger) { self.logger = logger }

    /// The engine's key of a namespace, out of the path that it gives for it.
    package static func key(ofPath path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// An endpoint joins the container whose namespace is at `path`, or will be. Where it is already, names of the swarm resolve
    /// there once this returns. `mayCome` false: one that is not there is gone.
    package func join(_ endpoint: EndpointID, path: String, mayCome: Bool = true, by doors: any ContainerDoors) async {
        let key = Self.key(ofPath: path)
        guard mayCome || doors.isThere(path) else { return }
        let room = room(key)
        let isNew = room.endpoints.insert(endpoint)
        if isNew, room.door != nil || room.isOpening { await enter([endpoint], path, doors) }
        guard room.door == nil, room.waiting == nil else { return }
        if doors.isThere(path) { return await open(key, path, doors) }
        rooms[key]?.waiting = Task {
            await self.wait(key, path, doors)
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
    package func leave(_ endpoint: EndpointID) async {
        for (key, room) in rooms where room.endpoints.all.contains(endpoint) {
            if room.endpoints.remove(endpoint) { await close(key) }
        }
    }

    /// The container that runs as `process` has these endpoints, and the engine calls its namespace by `key`. Returns once names of
    /// the swarm resolve there.
    package func serve(
        _ container: SandboxID, process: Int32, key: String, endpoints: [EndpointID], by doors: any ContainerDoors
    ) async {
        for (other, room) in rooms where room.container == container && other != key { await close(other) }
        let room = room(key)
        let new = endpoints.filter { room.endpoints.insert($0) }
        rooms[key]?.container = container
        let path = "/proc/\(process)/ns/net"
        if room.door == nil, !room.isOpening { await open(key, path, doors) } else { await enter(new, path, doors) }
    }

    /// The container does not run, or is on none of the swarm's networks: its names are left to its engine.
    package func end(_ container: SandboxID) async {
        for (key, room) in rooms where room.container == container { await close(key) }
    }

    /// All containers but these are gone.
    package func endAll(but kept: Set<SandboxID>) async {
        for (key, room) in rooms { if let container = room.container, !kept.contains(container) { await close(key) } }
    }

    package func endAll() async { for key in rooms.keys { await close(key) } }

    private func wait(_ key: String, _ path: String, _ doors: any ContainerDoors) async {
        let end = ContinuousClock.now + Self.patience
        while !Task.isCancelled, ContinuousClock.now < end {
            if doors.isThere(path) { return await open(key, path, doors) }
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func open(_ key: String, _ path: String, _ doors: any ContainerDoors) async {
        guard let room = rooms[key], room.door == nil, !room.isOpening else { return }
        rooms[key]?.isOpening = true
        let endpoints = room.endpoints
        await enter(endpoints.all, path, doors)
        do {
            let door = try await doors.open(at: path) { endpoints.all }
            let isOpen = update(key, room.endpoints) { ($0.isOpening, $0.door) = (false, door) }
            if !isOpen { await door.close() }
        } catch {
            update(key, room.endpoints) { $0.isOpening = false }
            logger.warning(
                "a container does not get the swarm's names from weftd first",
                metadata: ["namespace": "\(path)", "reason": "\(error)"])
        }
    }

    private func enter(_ endpoints: [EndpointID], _ path: String, _ doors: any ContainerDoors) async {
        guard !endpoints.isEmpty else { return }
        do { try await doors.enter(endpoints, at: path) } catch {
            logger.warning(
                "a container's connections to services are translated at its interface alone",
                metadata: ["namespace": "\(path)", "reason": "\(error)"])
        }
    }

    private func close(_ key: String) async {
        guard let room = rooms.removeValue(forKey: key) else { return }
        room.waiting?.cancel()
        await room.door?.close()
    }
}
