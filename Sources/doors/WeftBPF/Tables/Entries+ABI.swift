import CDatapathABI
import WeftDatapath
package import WeftNet

// Between the ABI's structures and the values above. An entry that cannot be read was not written by Weft: nil.

extension MACAddress {
    typealias Bytes = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

    init(bytes: Bytes) {
        self.init(rawValue: withUnsafeBytes(of: bytes) { $0.reduce(0) { $0 << 8 | UInt64($1) } })
    }

    var bytes: Bytes {
        func byte(_ index: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: rawValue >> (40 - 8 * index)) }
        return (byte(0), byte(1), byte(2), byte(3), byte(4), byte(5))
    }
}

extension IPv6Address {
    typealias Words = (UInt32, UInt32, UInt32, UInt32)

    /// Four words in network order.
    init(words: Words) {
        self.init(
            rawValue: [words.0, words.1, words.2, words.3].reduce(0) { $0 << 32 | UInt128(UInt32(bigEndian: $1)) })
    }

    var words: Words {
        func word(_ index: UInt128) -> UInt32 { UInt32(truncatingIfNeeded: rawValue >> (96 - 32 * index)).bigEndian }
        return (word(0), word(1), word(2), word(3))
    }
}

extension DatapathConfig {
    init?(_ value: weft_config) {
        guard value.vtep_ipv4 != 0, let port = UInt16(exactly: value.vxlan_port) else { return nil }
        self.init(
            underlayInterface: value.underlay_ifindex, vtep: IPv4Address(networkOrder: value.vtep_ipv4), port: port,
            tunnelInterface: value.tunnel_ifindex)
    }

    var value: weft_config {
        weft_config(
            abi_version: WEFT_ABI_VERSION, underlay_ifindex: underlayInterface, vtep_ipv4: vtep.networkOrder,
            vxlan_port: UInt32(port), tunnel_ifindex: tunnelInterface)
    }
}

extension EndpointEntry {
    init?(_ value: weft_endpoint) {
        let mask = UInt32(bigEndian: value.subnet_mask)
        guard let vni = VNI(value.vni), value.gateway_ipv4 != 0,
            let subnet = IPv4Prefix(IPv4Address(networkOrder: value.subnet_ipv4), length: mask.nonzeroBitCount)
        else { return nil }
        self.init(
            vni: vni, address: IPv4Address(networkOrder: value.ipv4), mac: MACAddress(bytes: value.mac), subnet: subnet,
            gateway: IPv4Address(networkOrder: value.gateway_ipv4),
            isInternal: value.flags & WEFT_ENDPOINT_INTERNAL.rawValue != 0,
            isNoExit: value.flags & WEFT_ENDPOINT_NO_EXIT.rawValue != 0,
            isBackend: value.flags & WEFT_ENDPOINT_BACKEND.rawValue != 0,
            isIngress: value.flags & WEFT_ENDPOINT_INGRESS.rawValue != 0, ipv6: EndpointIPv6(value))
    }

    var value: weft_endpoint {
        weft_endpoint(
            vni: vni.rawValue, ipv4: address.networkOrder, gateway_ipv4: gateway.networkOrder,
            subnet_ipv4: subnet.network.networkOrder, subnet_mask: subnet.netmask.networkOrder,
            flags: (isInternal ? WEFT_ENDPOINT_INTERNAL.rawValue : 0) | (isNoExit ? WEFT_ENDPOINT_NO_EXIT.rawValue : 0)
                | (isBackend ? WEFT_ENDPOINT_BACKEND.rawValue : 0) | (isIngress ? WEFT_ENDPOINT_INGRESS.rawValue : 0),
            mac: mac.bytes, reserved: (0, 0),
            ipv6: ipv6?.address.words ?? (0, 0, 0, 0), gateway_ipv6: ipv6?.gateway.words ?? (0, 0, 0, 0),
            subnet_mask6: ipv6.map { IPv6Address(maskOfLength: $0.subnet.length).words } ?? (0, 0, 0, 0))
    }
}

extension EndpointIPv6 {
    /// Nil for an endpoint without.
    init?(_ value: weft_endpoint) {
        let address = IPv6Address(words: value.ipv6)
        let length = IPv6Address(words: value.subnet_mask6).rawValue.nonzeroBitCount
        guard !address.isUnspecified, let subnet = IPv6Prefix(address, length: length) else { return nil }
        self.init(address: address, subnet: subnet, gateway: IPv6Address(words: value.gateway_ipv6))
    }
}

extension IPv6Address {
    /// The upper `length` bits set.
    fileprivate init(maskOfLength length: Int) { self.init(rawValue: length == 0 ? 0 : ~0 << UInt128(128 - length)) }
}

extension OverlayAddress {
    /// The key in the map of its family.
    enum InKernel {
        case v4(weft_forward_key)
        case v6(weft_forward6_key)

        var v4: weft_forward_key? { if case .v4(let key) = self { key } else { nil } }
        var v6: weft_forward6_key? { if case .v6(let key) = self { key } else { nil } }
    }

    var inKernel: InKernel {
        switch address {
        case .v4(let address): .v4(weft_forward_key(vni: vni.rawValue, ipv4: address.networkOrder))
        case .v6(let address): .v6(weft_forward6_key(vni: vni.rawValue, ipv6: address.words))
        }
    }

    init?(_ key: weft_forward_key) {
        guard let vni = VNI(key.vni) else { return nil }
        self.init(vni: vni, address: IPv4Address(networkOrder: key.ipv4))
    }

    init?(_ key: weft_forward6_key) {
        guard let vni = VNI(key.vni) else { return nil }
        self.init(vni: vni, address: IPv6Address(words: key.ipv6))
    }
}

extension ForwardTarget {
    init?(_ value: weft_forward) {
        let mac = MACAddress(bytes: value.mac)
        let flags = UInt32(value.flags)
        guard flags & WEFT_FORWARD_SERVICE.rawValue == 0 else {
            self = .service
            return
        }
        let isBackend = flags & WEFT_FORWARD_BACKEND.rawValue != 0
        guard value.ifindex == 0 else {
            self = .local(
                interface: value.ifindex, mac: mac, isBackend: isBackend, isHost: flags & WEFT_FORWARD_HOST.rawValue != 0)
            return
        }
        guard let tunnel = TunnelKind(number: UInt32(value.tunnel)) else { return nil }
        self = .remote(
            vtep: IPv4Address(networkOrder: value.vtep_ipv4), mac: mac, mtu: MTU(Int(value.mtu)), tunnel: tunnel, isBackend: isBackend)
    }

    var value: weft_forward {
        let flags = UInt8(
            truncatingIfNeeded: (isBackend ? WEFT_FORWARD_BACKEND.rawValue : 0) | (isHost ? WEFT_FORWARD_HOST.rawValue : 0))
        switch self {
        case .local(let interface, let mac, _, _):
            return weft_forward(
                ifindex: interface, vtep_ipv4: 0, mac: mac.bytes, mtu: 0, tunnel: 0, flags: flags, reserved: (0, 0))
        case .remote(let vtep, let mac, let mtu, let tunnel, _):
            return weft_forward(
                ifindex: 0, vtep_ipv4: vtep.networkOrder, mac: mac.bytes, mtu: mtu.map { UInt16(clamping: $0.bytes) } ?? 0,
                tunnel: UInt8(truncatingIfNeeded: tunnel.number), flags: flags, reserved: (0, 0))
        case .service:
            // The gateway's MAC address, as where nobody has the address: the program decides what becomes of a packet.
            return weft_forward(
                ifindex: 0, vtep_ipv4: 0, mac: MACAddress.gateway.bytes, mtu: 0, tunnel: 0,
                flags: UInt8(truncatingIfNeeded: WEFT_FORWARD_SERVICE.rawValue), reserved: (0, 0))
        }
    }

    private var isBackend: Bool {
        switch self {
        case .local(_, _, let isBackend, _), .remote(_, _, _, _, let isBackend): isBackend
        case .service: false
        }
    }

    private var isHost: Bool { if case .local(_, _, _, let isHost) = self { isHost } else { false } }
}

extension MACAddress {
    /// What all host ends and gateways have.
    package static let gateway = MACAddress(
        rawValue: [
            WEFT_GATEWAY_MAC0, WEFT_GATEWAY_MAC1, WEFT_GATEWAY_MAC2, WEFT_GATEWAY_MAC3, WEFT_GATEWAY_MAC4,
            WEFT_GATEWAY_MAC5,
        ].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
}

extension Membership {
    init?(_ key: weft_vtep_key) {
        guard let vni = VNI(key.vni) else { return nil }
        self.init(vni: vni, vtep: IPv4Address(networkOrder: key.vtep_ipv4))
    }

    var key: weft_vtep_key { weft_vtep_key(vni: vni.rawValue, vtep_ipv4: vtep.networkOrder) }
}

extension MemberTunnel {
    init?(_ value: weft_vtep) {
        guard let kind = TunnelKind(number: value.tunnel) else { return nil }
        self.init(mtu: MTU(Int(value.mtu)), kind: kind)
    }

    var value: weft_vtep {
        weft_vtep(tunnel: kind.number, mtu: mtu.map { UInt16(clamping: $0.bytes) } ?? 0, reserved: 0)
    }
}

extension TunnelKind {
    init?(number: UInt32) {
        switch number {
        case WEFT_TUNNEL_VXLAN.rawValue: self = .clear
        case WEFT_TUNNEL_ESP.rawValue: self = .encrypted
        default: return nil
        }
    }

    var number: UInt32 {
        switch self {
        case .clear: WEFT_TUNNEL_VXLAN.rawValue
        case .encrypted: WEFT_TUNNEL_ESP.rawValue
        }
    }
}

extension IPv4Prefix {
    init?(_ key: weft_subnet_key) {
        self.init(IPv4Address(networkOrder: key.ipv4), length: Int(key.prefix_length))
    }

    var key: weft_subnet_key { weft_subnet_key(prefix_length: UInt32(length), ipv4: network.networkOrder) }
}

extension IPv6Prefix {
    init?(_ key: weft_subnet6_key) { self.init(IPv6Address(words: key.ipv6), length: Int(key.prefix_length)) }

    var key: weft_subnet6_key { weft_subnet6_key(prefix_length: UInt32(length), ipv6: network.words) }
}
