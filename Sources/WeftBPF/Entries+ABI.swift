import CDatapathABI
import WeftNet

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

extension DatapathConfig {
    init?(_ value: weft_config) {
        guard value.vtep_ipv4 != 0, let port = UInt16(exactly: value.vxlan_port) else { return nil }
        self.init(
            underlayInterface: value.underlay_ifindex, vtep: IPv4Address(networkOrder: value.vtep_ipv4), port: port)
    }

    var value: weft_config {
        weft_config(
            abi_version: WEFT_ABI_VERSION, underlay_ifindex: underlayInterface, vtep_ipv4: vtep.networkOrder,
            vxlan_port: UInt32(port))
    }
}

extension LocalEndpoint {
    init?(_ value: weft_endpoint) {
        let mask = UInt32(bigEndian: value.subnet_mask)
        guard let vni = VNI(value.vni),
            let subnet = IPv4Prefix(IPv4Address(networkOrder: value.subnet_ipv4), length: mask.nonzeroBitCount)
        else { return nil }
        self.init(
            vni: vni, address: IPv4Address(networkOrder: value.ipv4), mac: MACAddress(bytes: value.mac), subnet: subnet,
            gateway: value.gateway_ipv4 == 0 ? nil : IPv4Address(networkOrder: value.gateway_ipv4),
            isInternal: value.flags & WEFT_ENDPOINT_INTERNAL.rawValue != 0)
    }

    var value: weft_endpoint {
        weft_endpoint(
            vni: vni.rawValue, ipv4: address.networkOrder, gateway_ipv4: gateway?.networkOrder ?? 0,
            subnet_ipv4: subnet.network.networkOrder, subnet_mask: subnet.netmask.networkOrder,
            flags: isInternal ? WEFT_ENDPOINT_INTERNAL.rawValue : 0, mac: mac.bytes, reserved: (0, 0))
    }
}

extension ForwardKey {
    init?(_ key: weft_forward_key) {
        guard let vni = VNI(key.vni) else { return nil }
        self.init(vni: vni, address: IPv4Address(networkOrder: key.ipv4))
    }

    var key: weft_forward_key { weft_forward_key(vni: vni.rawValue, ipv4: address.networkOrder) }
}

extension ForwardTarget {
    init(_ value: weft_forward) {
        let mac = MACAddress(bytes: value.mac)
        self =
            value.ifindex != 0
            ? .local(interface: value.ifindex, mac: mac)
            : .remote(vtep: IPv4Address(networkOrder: value.vtep_ipv4), mac: mac)
    }

    var value: weft_forward {
        switch self {
        case .local(let interface, let mac):
            weft_forward(ifindex: interface, vtep_ipv4: 0, mac: mac.bytes, reserved: (0, 0))
        case .remote(let vtep, let mac):
            weft_forward(ifindex: 0, vtep_ipv4: vtep.networkOrder, mac: mac.bytes, reserved: (0, 0))
        }
    }
}

extension VTEPMembership {
    init?(_ key: weft_vtep_key) {
        guard let vni = VNI(key.vni) else { return nil }
        self.init(vni: vni, vtep: IPv4Address(networkOrder: key.vtep_ipv4))
    }

    var key: weft_vtep_key { weft_vtep_key(vni: vni.rawValue, vtep_ipv4: vtep.networkOrder) }
}

extension IPv4Prefix {
    init?(_ key: weft_subnet_key) {
        self.init(IPv4Address(networkOrder: key.ipv4), length: Int(key.prefix_length))
    }

    var key: weft_subnet_key { weft_subnet_key(prefix_length: UInt32(length), ipv4: network.networkOrder) }
}
