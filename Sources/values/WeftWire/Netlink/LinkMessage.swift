internal import CLinuxUAPI
package import WeftNet

/// A network interface as the kernel describes it (RTM_NEWLINK).
package struct LinkMessage: Hashable, Sendable {
    package var index: UInt32
    package var name: String
    package var isUp: Bool
    /// Its frames begin with an Ethernet header.
    package var isEthernet = true
    /// Its frames begin with the IP header.
    package var isBare = false
    package var mtu: Int?
    package var mac: MACAddress?
    /// `ip link set alias`.
    package var alias: String?
    /// `veth`, `vxlan`, …; nil for hardware and loopback.
    package var kind: String?
    /// The index of a veth's other end, or the lower device's.
    package var lowerIndex: UInt32?
    /// The index of the bridge or bond that it is a port of.
    package var masterIndex: UInt32?
    package var vxlan: VXLANAttributes?
    /// net.ipv4.conf.NAME.rp_filter.
    package var reversePathFilter: Int32?
    /// Whether net.ipv6.conf.NAME.disable_ipv6 is 0; nil where the interface has no IPv6 at all.
    package var hasIPv6: Bool?

    /// ARPHRD_NONE (tun, WireGuard), PPP, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE and IP6GRE.
    private static let bareTypes: Set<UInt16> = [0xfffe, 512, 519, 768, 769, 776, 778, 823]

    package struct VXLANAttributes: Hashable, Sendable {
        package var vni: UInt32
        /// UDP port, host order.
        package var port: UInt16
        package var collectsMetadata: Bool
    }

    /// Nil when the message is no link or malformed.
    package init?(_ message: NetlinkMessage) {
        guard message.type == Int(RTM_NEWLINK) else { return nil }
        var reader = NetlinkReader(message.payload)
        guard reader.take(2) != nil, let type = reader.integer(UInt16.self), let index = reader.integer(UInt32.self),
            let flags = reader.integer(UInt32.self), reader.take(4) != nil, let attributes = NetlinkAttributes(reader.rest),
            let name = attributes.text(Int(IFLA_IFNAME))
        else { return nil }
        self.index = index
        self.name = name
        // ARPHRD_ETHER
        isEthernet = type == 1
        isBare = Self.bareTypes.contains(type)
        isUp = flags & UInt32(WEFT_IFF_UP) != 0
        mtu = attributes.integer(Int(IFLA_MTU)).map { (value: UInt32) in Int(value) }
        mac = attributes[Int(IFLA_ADDRESS)].flatMap { MACAddress(octets: $0) }
        alias = attributes.text(Int(IFLA_IFALIAS))
        lowerIndex = attributes.integer(Int(IFLA_LINK))
        masterIndex = attributes.integer(Int(IFLA_MASTER))
        let info = attributes.nested(Int(IFLA_LINKINFO))
        kind = info?.text(Int(IFLA_INFO_KIND))
        if kind == "vxlan", let data = info?.nested(Int(IFLA_INFO_DATA)) {
            let port: UInt16 = data.integer(Int(IFLA_VXLAN_PORT)) ?? 0
            vxlan = VXLANAttributes(
                vni: data.integer(Int(IFLA_VXLAN_ID)) ?? 0, port: UInt16(bigEndian: port),
                collectsMetadata: data.integer(Int(IFLA_VXLAN_COLLECT_METADATA)) == UInt8(1))
        }
        // An array of Int32, of which number n stands at n - 1.
        if let settings = attributes.nested(Int(IFLA_AF_SPEC))?.nested(Int(WEFT_AF_INET))?[Int(IFLA_INET_CONF)] {
            reversePathFilter = netlinkInteger(settings.dropFirst(4 * (Int(IPV4_DEVCONF_RP_FILTER) - 1)).prefix(4))
        }
        // Here they count from 0.
        if let settings = attributes.nested(Int(IFLA_AF_SPEC))?.nested(Int(WEFT_AF_INET6))?[Int(IFLA_INET6_CONF)],
            let isDisabled: Int32 = netlinkInteger(settings.dropFirst(4 * Int(WEFT_DEVCONF_DISABLE_IPV6)).prefix(4))
        {
            hasIPv6 = isDisabled == 0
        }
    }
}

extension LinkMessage {
    /// Packets that were to leave by the interface of a message and that its driver dropped; nil if it does not say.
    package static func droppedOnLeaving(_ message: NetlinkMessage) -> UInt64? {
        guard message.type == Int(RTM_NEWLINK) else { return nil }
        var reader = NetlinkReader(message.payload)
        // struct ifinfomsg; then the eighth number of struct rtnl_link_stats64.
        guard reader.take(16) != nil, let counts = NetlinkAttributes(reader.rest)?[Int(IFLA_STATS64)] else { return nil }
        return netlinkInteger(counts.dropFirst(56).prefix(8))
    }
}

/// What to change of an interface; nil leaves a property as it is.
package struct LinkChange: Hashable, Sendable {
    package var isUp: Bool?
    package var newName: String?
    package var mtu: Int?
    package var mac: MACAddress?
    package var alias: String?
    package var reversePathFilter: Int32?

    package init(
        isUp: Bool? = nil, newName: String? = nil, mtu: Int? = nil, mac: MACAddress? = nil, alias: String? = nil,
        reversePathFilter: Int32? = nil
    ) {
        self.isUp = isUp
        self.newName = newName
        self.mtu = mtu
        self.mac = mac
        self.alias = alias
        self.reversePathFilter = reversePathFilter
    }
}

/// One end of a new veth pair.
package struct VethEnd: Hashable, Sendable {
    package var name: String
    package var mac: MACAddress
    package var mtu: Int

    package init(name: String, mac: MACAddress, mtu: Int) {
        self.name = name
        self.mac = mac
        self.mtu = mtu
    }

    fileprivate func write(to writer: inout NetlinkWriter) {
        writer.attribute(Int(IFLA_IFNAME), text: name)
        writer.attribute(Int(IFLA_ADDRESS), mac.octets)
        writer.attribute(Int(IFLA_MTU), UInt32(clamping: mtu))
    }
}

extension NetlinkWriter {
    fileprivate mutating func appendLinkHeader(index: UInt32 = 0, flags: UInt32 = 0, change: UInt32 = 0) {
        append(UInt8(WEFT_AF_UNSPEC))
        append(UInt8(0))
        append(UInt16(0))
        append(index)
        append(flags)
        append(change)
    }

    /// All interfaces of the namespace.
    package static func dumpLinks() -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETLINK), flags: Int(NLM_F_DUMP))
        writer.appendLinkHeader()
        return writer
    }

    /// One interface; ENODEV if there is none of that name.
    package static func getLink(name: String) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETLINK))
        writer.appendLinkHeader()
        writer.attribute(Int(IFLA_IFNAME), text: name)
        return writer
    }

    /// A veth pair: `host` here, `peer` in the namespace behind the descriptor (nil: here too).
    package static func createVeth(host: VethEnd, peer: VethEnd, peerNamespace: Int32?) -> NetlinkWriter {
        var writer = create()
        host.write(to: &writer)
        writer.linkInfo("veth") { data in
            data.nest(Int(VETH_INFO_PEER)) { info in
                info.appendLinkHeader()
                peer.write(to: &info)
                if let peerNamespace { info.attribute(Int(IFLA_NET_NS_FD), UInt32(bitPattern: peerNamespace)) }
            }
        }
        return writer
    }

    /// A vxlan device whose tunnel key travels in packet metadata (`ip link add … type vxlan external`).
    package static func createVXLAN(name: String, port: UInt16, mac: MACAddress) -> NetlinkWriter {
        var writer = create()
        writer.attribute(Int(IFLA_IFNAME), text: name)
        writer.attribute(Int(IFLA_ADDRESS), mac.octets)
        writer.linkInfo("vxlan") { data in
            data.attribute(Int(IFLA_VXLAN_COLLECT_METADATA), UInt8(1))
            data.attribute(Int(IFLA_VXLAN_LEARNING), UInt8(0))
            data.attribute(Int(IFLA_VXLAN_PORT), port.bigEndian)
        }
        return writer
    }

    /// Changes an interface by index.
    package static func setLink(index: UInt32, _ change: LinkChange) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_NEWLINK), flags: Int(NLM_F_ACK))
        let up = UInt32(WEFT_IFF_UP)
        writer.appendLinkHeader(
            index: index, flags: change.isUp == true ? up : 0, change: change.isUp == nil ? 0 : up)
        if let name = change.newName { writer.attribute(Int(IFLA_IFNAME), text: name) }
        if let mtu = change.mtu { writer.attribute(Int(IFLA_MTU), UInt32(clamping: mtu)) }
        if let mac = change.mac { writer.attribute(Int(IFLA_ADDRESS), mac.octets) }
        // Without a NUL: the kernel keeps the bytes as they come.
        if let alias = change.alias { writer.attribute(Int(IFLA_IFALIAS), Array(alias.utf8)) }
        if let filter = change.reversePathFilter {
            writer.nest(Int(IFLA_AF_SPEC)) { families in
                families.nest(Int(WEFT_AF_INET)) { inet in
                    inet.nest(Int(IFLA_INET_CONF)) { $0.attribute(Int(IPV4_DEVCONF_RP_FILTER), filter) }
                }
            }
        }
        return writer
    }

    package static func deleteLink(index: UInt32) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_DELLINK), flags: Int(NLM_F_ACK))
        writer.appendLinkHeader(index: index)
        return writer
    }

    private static func create() -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_NEWLINK), flags: Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL))
        writer.appendLinkHeader()
        return writer
    }

    private mutating func linkInfo(_ kind: String, _ data: (inout NetlinkWriter) -> Void) {
        nest(Int(IFLA_LINKINFO)) { info in
            info.attribute(Int(IFLA_INFO_KIND), text: kind)
            info.nest(Int(IFLA_INFO_DATA), data)
        }
    }
}
