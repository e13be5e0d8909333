internal import CLinuxUAPI
package import WeftNet

/// An IPv4 unicast route (RTM_NEWROUTE).
package struct RouteMessage: Hashable, Sendable {
    /// 0.0.0.0/0 is the default route.
    package var destination: IPv4Prefix
    package var table: UInt32
    package var interface: UInt32?
    package var gateway: IPv4Address?
    package var preferredSource: IPv4Address?
    /// Directly on the link, no gateway (`scope link`).
    package var isLinkScope: Bool
    package var metric: UInt32?

    /// The main table, 254.
    package static let mainTable: UInt32 = 254

    package init(
        destination: IPv4Prefix, table: UInt32 = RouteMessage.mainTable, interface: UInt32? = nil,
        gateway: IPv4Address? = nil, preferredSource: IPv4Address? = nil, isLinkScope: Bool = false,
        metric: UInt32? = nil
    ) {
        self.destination = destination
        self.table = table
        self.interface = interface
        self.gateway = gateway
        self.preferredSource = preferredSource
        self.isLinkScope = isLinkScope
        self.metric = metric
    }

    /// Nil when the message is no IPv4 unicast route or malformed.
    package init?(_ message: NetlinkMessage) {
        guard message.type == Int(RTM_NEWROUTE) else { return nil }
        var reader = NetlinkReader(message.payload)
        guard reader.integer(UInt8.self) == UInt8(WEFT_AF_INET), let length = reader.integer(UInt8.self),
            reader.take(2) != nil, let table = reader.integer(UInt8.self), reader.take(1) != nil,
            let scope = reader.integer(UInt8.self), reader.integer(UInt8.self) == UInt8(RTN_UNICAST),
            reader.take(4) != nil, let attributes = NetlinkAttributes(reader.rest),
            let destination = IPv4Prefix(
                attributes[Int(RTA_DST.rawValue)].flatMap { IPv4Address(octets: $0) } ?? IPv4Address(rawValue: 0),
                length: Int(length))
        else { return nil }
        self.init(
            destination: destination, table: attributes.integer(Int(RTA_TABLE.rawValue)) ?? UInt32(table),
            interface: attributes.integer(Int(RTA_OIF.rawValue)),
            gateway: attributes[Int(RTA_GATEWAY.rawValue)].flatMap { IPv4Address(octets: $0) },
            preferredSource: attributes[Int(RTA_PREFSRC.rawValue)].flatMap { IPv4Address(octets: $0) },
            isLinkScope: scope == UInt8(RT_SCOPE_LINK.rawValue),
            metric: attributes.integer(Int(RTA_PRIORITY.rawValue)))
    }
}

extension NetlinkWriter {
    /// The IPv4 routes of one table, ENOENT if there is no such table; nil: of all tables.
    package static func dumpRoutes(table: UInt32? = nil) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETROUTE), flags: Int(NLM_F_DUMP))
        writer.appendRouteHeader(length: 0, protocolNumber: 0, scope: 0, type: 0)
        if let table { writer.attribute(Int(RTA_TABLE.rawValue), table) }
        return writer
    }

    /// Adds the route, or replaces the one with the same destination, table and metric.
    package static func replaceRoute(_ route: RouteMessage) -> NetlinkWriter {
        routeRequest(Int(RTM_NEWROUTE), Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE), route)
    }

    /// ESRCH if it is not there.
    package static func deleteRoute(_ route: RouteMessage) -> NetlinkWriter {
        routeRequest(Int(RTM_DELROUTE), Int(NLM_F_ACK), route)
    }

    private static func routeRequest(_ type: Int, _ flags: Int, _ route: RouteMessage) -> NetlinkWriter {
        var writer = NetlinkWriter(type: type, flags: flags)
        if type == Int(RTM_DELROUTE) {
            // Whoever made it and whatever its scope: the kernel compares both unless they are these.
            writer.appendRouteHeader(
                length: route.destination.length, protocolNumber: UInt8(RTPROT_UNSPEC),
                scope: UInt8(RT_SCOPE_NOWHERE.rawValue), type: UInt8(RTN_UNICAST))
        } else {
            let scope = route.isLinkScope ? UInt8(RT_SCOPE_LINK.rawValue) : UInt8(RT_SCOPE_UNIVERSE.rawValue)
            writer.appendRouteHeader(
                length: route.destination.length, protocolNumber: UInt8(RTPROT_STATIC), scope: scope,
                type: UInt8(RTN_UNICAST))
        }
        if route.destination.length > 0 {
            writer.attribute(Int(RTA_DST.rawValue), route.destination.network.octets)
        }
        writer.attribute(Int(RTA_TABLE.rawValue), route.table)
        if let interface = route.interface { writer.attribute(Int(RTA_OIF.rawValue), interface) }
        if let gateway = route.gateway { writer.attribute(Int(RTA_GATEWAY.rawValue), gateway.octets) }
        if let source = route.preferredSource { writer.attribute(Int(RTA_PREFSRC.rawValue), source.octets) }
        if let metric = route.metric { writer.attribute(Int(RTA_PRIORITY.rawValue), metric) }
        return writer
    }

    private mutating func appendRouteHeader(length: Int, protocolNumber: UInt8, scope: UInt8, type: UInt8) {
        append(UInt8(WEFT_AF_INET))
        append(UInt8(clamping: length))
        append(UInt8(0))  // source length
        append(UInt8(0))  // type of service
        append(UInt8(0))  // table: RTA_TABLE has it
        append(protocolNumber)
        append(scope)
        append(type)
        append(UInt32(0))
    }
}
