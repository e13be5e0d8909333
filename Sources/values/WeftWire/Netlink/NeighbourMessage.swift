internal import CLinuxUAPI
package import WeftNet

/// An IPv4 neighbour entry (RTM_NEWNEIGH).
package struct NeighbourMessage: Hashable, Sendable {
    package var interface: UInt32
    package var address: IPv4Address
    package var mac: MACAddress?
    /// Never asked for and never aged.
    package var isPermanent: Bool

    package init(interface: UInt32, address: IPv4Address, mac: MACAddress?, isPermanent: Bool = true) {
        self.interface = interface
        self.address = address
        self.mac = mac
        self.isPermanent = isPermanent
    }

    /// Nil when the message is no IPv4 neighbour or malformed.
    package init?(_ message: NetlinkMessage) {
        guard message.type == Int(RTM_NEWNEIGH) else { return nil }
        var reader = NetlinkReader(message.payload)
        guard reader.integer(UInt8.self) == UInt8(WEFT_AF_INET), reader.take(3) != nil,
            let index = reader.integer(UInt32.self), let state = reader.integer(UInt16.self), reader.take(2) != nil,
            let attributes = NetlinkAttributes(reader.rest),
            let address = attributes[Int(NDA_DST)].flatMap({ IPv4Address(octets: $0) })
        else { return nil }
        self.init(
            interface: index, address: address,
            mac: attributes[Int(NDA_LLADDR)].flatMap { MACAddress(octets: $0) },
            isPermanent: state & UInt16(NUD_PERMANENT) != 0)
    }
}

extension NetlinkWriter {
    /// All IPv4 neighbours of the namespace.
    package static func dumpNeighbours() -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETNEIGH), flags: Int(NLM_F_DUMP))
        writer.appendNeighbourHeader(interface: 0, state: 0)
        return writer
    }

    /// Adds a permanent entry, or replaces the one for that address.
    package static func replaceNeighbour(_ neighbour: NeighbourMessage) -> NetlinkWriter {
        var writer = NetlinkWriter(
            type: Int(RTM_NEWNEIGH), flags: Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE))
        writer.appendNeighbourHeader(interface: neighbour.interface, state: UInt16(NUD_PERMANENT))
        writer.attribute(Int(NDA_DST), neighbour.address.octets)
        if let mac = neighbour.mac { writer.attribute(Int(NDA_LLADDR), mac.octets) }
        return writer
    }

    /// ENOENT if it is not there.
    package static func deleteNeighbour(_ neighbour: NeighbourMessage) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_DELNEIGH), flags: Int(NLM_F_ACK))
        writer.appendNeighbourHeader(interface: neighbour.interface, state: 0)
        writer.attribute(Int(NDA_DST), neighbour.address.octets)
        return writer
    }

    private mutating func appendNeighbourHeader(interface: UInt32, state: UInt16) {
        append(UInt8(WEFT_AF_INET))
        append(UInt8(0))
        append(UInt16(0))
        append(interface)
        append(state)
        append(UInt8(0))
        append(UInt8(0))
    }
}
