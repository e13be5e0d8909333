internal import WeftLinux
internal import WeftWire

/// The host's routes to endpoints and its permanent neighbours, by interface: read once, when first asked for, however many endpoints
/// are looked at. Changes at one interface leave what it has of the others true.
final class HostEntries {
    private let netlink: NetlinkSocket
    private var known: (routes: [UInt32: [RouteMessage]], neighbours: [UInt32: [NeighbourMessage]])?

    init(_ netlink: NetlinkSocket) { self.netlink = netlink }

    func routes(at interface: UInt32) throws -> [RouteMessage] { try read().routes[interface] ?? [] }

    func neighbours(at interface: UInt32) throws -> [NeighbourMessage] { try read().neighbours[interface] ?? [] }

    private func read() throws -> (routes: [UInt32: [RouteMessage]], neighbours: [UInt32: [NeighbourMessage]]) {
        if let known { return known }
        let neighbours = try netlink.dump(.dumpNeighbours(), "list neighbours") { NeighbourMessage($0) }.filter(\.isPermanent)
        let read = (
            routes: Dictionary(grouping: try routes().filter { $0.interface != nil }, by: { $0.interface ?? 0 }),
            neighbours: Dictionary(grouping: neighbours, by: \.interface)
        )
        known = read
        return read
    }

    private func routes() throws -> [RouteMessage] {
        do throws(SystemError) {
            return try netlink.dump(.dumpRoutes(table: KernelDatapath.routingTable), "list routes") { RouteMessage($0) }
        } catch {
            // There is no table before its first route.
            guard error.isNotFound else { throw error }
            return []
        }
    }
}
