internal import Synchronization
internal import WeftBPF
internal import WeftDatapath
internal import WeftLinux
internal import WeftModel
internal import WeftWire

/// Sets in engines' containers what tasks on the ingress network need there. The engine moves an interface into its container and gives it its
/// address in its own time, so that it is waited for.
final class EngineVisits: Sendable {
    private let rooms: Rooms
    private let work: IdleWork

    init(netlink: NetlinkSocket, programs: DatapathPrograms) {
        let rooms = Rooms()
        self.rooms = rooms
        work = IdleWork("weft.visits", rest: .milliseconds(20)) { rooms.work(netlink, programs) }
    }

    /// An endpoint's interface is in this namespace, or will be.
    func enter(_ endpoint: EndpointID, _ namespace: NetworkNamespace, interface: UInt32) {
        rooms.enter(endpoint, namespace, interface)
        work.postpone()
    }

    /// What is to be set may be different.
    func visit(_ endpoint: EndpointID) {
        rooms.visit(endpoint)
        work.postpone()
    }

    func leave(_ endpoint: EndpointID) { rooms.leave(endpoint) }
}

private final class Rooms: Sendable {
    /// Half a minute: an engine that has not done it by then has given up.
    private static let attempts = 1500

    private struct Room {
        let namespace: NetworkNamespace
        let interface: UInt32
        /// 0: nothing is to be done.
        var attempts: Int
    }

    private let rooms = Mutex<[EndpointID: Room]>([:])

    func enter(_ endpoint: EndpointID, _ namespace: NetworkNamespace, _ interface: UInt32) {
        rooms.withLock { $0[endpoint] = Room(namespace: namespace, interface: interface, attempts: Self.attempts) }
    }

    func visit(_ endpoint: EndpointID) { rooms.withLock { $0[endpoint]?.attempts = Self.attempts } }

    func leave(_ endpoint: EndpointID) { rooms.withLock { $0[endpoint] = nil } }

    /// Tries all that wait; false when none is left.
    func work(_ netlink: NetlinkSocket, _ programs: DatapathPrograms) -> Bool {
        let waiting = rooms.withLock { $0.filter { $0.value.attempts > 0 } }
        for (endpoint, room) in waiting {
            let isDone = (try? set(in: room, netlink, programs)) ?? false
            rooms.withLock { rooms in
                // Another namespace, or another wish, counts anew.
                guard let now = rooms[endpoint], now.namespace == room.namespace, now.attempts == room.attempts else { return }
                rooms[endpoint]?.attempts = isDone ? 0 : room.attempts - 1
            }
        }
        return rooms.withLock { $0.values.contains { $0.attempts > 0 } }
    }

    private func set(in room: Room, _ netlink: NetlinkSocket, _ programs: DatapathPrograms) throws -> Bool {
        guard let entry = try programs.endpoints()[room.interface] else { return false }
        guard entry.isIngress else { return true }
        let links = try netlink.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        let alias = links.first { $0.index == room.interface }.flatMap { EndpointAlias($0.alias) }
        guard let alias else { return false }
        let routes = IngressRoutes(entry: entry, udpPorts: alias.routes.udpPorts)
        return try routes.apply(by: NetlinkSocket.open(in: room.namespace))
    }
}
