import CDatapathABI
package import WeftDatapath
package import WeftNet

/// Published ports, and the node's own place on the ingress network, in the kernel.
extension DatapathPrograms {
    package func published() throws(BPFError) -> [PublishedAt: PublishedService] {
        var found: [PublishedAt: PublishedService] = [:]
        for (key, value) in try publishedMap.all() {
            guard let port = PublishedAt(key), let service = PublishedService(value) else {
                try publishedMap.remove(key)
                continue
            }
            found[port] = service
        }
        return found
    }

    package func putPublished(_ port: PublishedAt, _ service: PublishedService) throws(BPFError) {
        try publishedMap.put(port.key, service.value)
    }

    package func removePublished(_ port: PublishedAt) throws(BPFError) { try publishedMap.remove(port.key) }

    /// The host's own addresses, at which ports are published.
    package func setHostAddresses(_ addresses: Set<IPAddress>) throws(BPFError) {
        var known: Set<IPAddress> = []
        for (key, _) in try hostAddressMap.all() {
            guard let address = IPAddress(key), addresses.contains(address) else {
                try hostAddressMap.remove(key)
                continue
            }
            known.insert(address)
        }
        for address in addresses.subtracting(known) { try hostAddressMap.put(address.hostKey, 1) }
    }

    /// The node's own endpoint on the ingress network is behind this interface.
    package func setIngress(_ entry: EndpointEntry, interface: UInt32) throws(BPFError) {
        try ingressMap.put(
            0,
            weft_ingress(
                vni: entry.vni.rawValue, ipv4: entry.address.networkOrder, ipv6: entry.ipv6?.address.words ?? (0, 0, 0, 0),
                ifindex: interface, mac: entry.mac.bytes, reserved: (0, 0)))
    }

    /// The interface is gone: if the node's own endpoint was behind it, there is none.
    package func removeIngress(interface: UInt32) throws(BPFError) {
        guard let known = try ingressMap.get(0), known.ifindex == interface else { return }
        try ingressMap.put(0, weft_ingress())
    }
}

extension IPAddress {
    fileprivate init?(_ key: weft_host_address_key) {
        switch key.family {
        case 4: self = .v4(IPv4Address(networkOrder: key.address.0))
        case 6: self = .v6(IPv6Address(words: key.address))
        default: return nil
        }
    }

    fileprivate var hostKey: weft_host_address_key {
        switch self {
        case .v4(let address): weft_host_address_key(family: 4, address: (address.networkOrder, 0, 0, 0))
        case .v6(let address): weft_host_address_key(family: 6, address: address.words)
        }
    }
}

extension PublishedAt {
    fileprivate init?(_ key: weft_published_key) {
        guard key.port != 0, key.family == 0 else { return nil }
        self.init(protocolNumber: key.protocol, port: UInt16(bigEndian: key.port))
    }

    fileprivate var key: weft_published_key {
        weft_published_key(address: (0, 0, 0, 0), port: port.bigEndian, protocol: protocolNumber, family: 0)
    }
}

extension PublishedService {
    fileprivate init?(_ value: weft_published) {
        guard let vni = VNI(value.vni) else { return nil }
        let ipv6 = IPv6Address(words: value.ipv6)
        self.init(
            vni: vni, ipv4: IPv4Address(networkOrder: value.ipv4), ipv6: ipv6.isUnspecified ? nil : ipv6,
            target: UInt16(bigEndian: value.target))
    }

    fileprivate var value: weft_published {
        weft_published(
            vni: vni.rawValue, ipv4: ipv4.networkOrder, ipv6: ipv6?.words ?? (0, 0, 0, 0), target: target.bigEndian, flags: 0)
    }
}
