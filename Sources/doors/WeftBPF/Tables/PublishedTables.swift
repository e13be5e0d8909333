import CDatapathABI
package import WeftDatapath
package import WeftNet

/// Published ports, and the node's own place on the ingress network, in the kernel.
extension DatapathPrograms {
    package func published() throws(BPFError) -> [PublishedAt: PublishedService] {
        let sources = try sources()
        var found: [PublishedAt: PublishedService] = [:]
        for (key, value) in try publishedMap.all() {
            guard let port = PublishedAt(key), var service = PublishedService(value) else {
                try publishedMap.remove(key)
                continue
            }
            // Flag and networks are set one after the other.
            let isForSources = UInt32(value.flags) & WEFT_PUBLISHED_FOR_SOURCES.rawValue != 0
            service.sources = sources[port] ?? []
            guard isForSources != service.sources.isEmpty else { continue }
            found[port] = service
        }
        return found
    }

    /// Whom it is for is there before it, and is taken away after it.
    package func putPublished(_ port: PublishedAt, _ service: PublishedService) throws(BPFError) {
        for source in service.sources { try sourceMap.put(port.key(of: source), 1) }
        try publishedMap.put(port.key, service.value)
        try removeSources(of: port, but: service.sources)
    }

    package func removePublished(_ port: PublishedAt) throws(BPFError) {
        try publishedMap.remove(port.key)
        try removeSources(of: port, but: [])
    }

    private func removeSources(of port: PublishedAt, but kept: Set<AnyIPPrefix>) throws(BPFError) {
        for source in try sources()[port] ?? [] where !kept.contains(source) { try sourceMap.remove(port.key(of: source)) }
    }

    private func sources() throws(BPFError) -> [PublishedAt: Set<AnyIPPrefix>] {
        var found: [PublishedAt: Set<AnyIPPrefix>] = [:]
        for (key, _) in try sourceMap.all() {
            guard let port = PublishedAt(key.published), let source = AnyIPPrefix(key) else {
                try sourceMap.remove(key)
                continue
            }
            found[port, default: []].insert(source)
        }
        return found
    }

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

    fileprivate var hostKey: weft_host_address_key { weft_host_address_key(family: familyNumber, address: words) }
}

extension PublishedAt {
    fileprivate init?(_ key: weft_published_key) {
        guard key.port != 0 else { return nil }
        let (number, port) = (key.protocol, UInt16(bigEndian: key.port))
        switch key.family {
        case 0: self.init(protocolNumber: number, port: port)
        case 4: self.init(protocolNumber: number, port: port, at: .v4(IPv4Address(networkOrder: key.address.0)))
        case 6: self.init(protocolNumber: number, port: port, at: .v6(IPv6Address(words: key.address)))
        default: return nil
        }
    }

    fileprivate var key: weft_published_key {
        weft_published_key(
            address: address?.words ?? (0, 0, 0, 0), port: port.bigEndian, protocol: protocolNumber,
            family: address.map { UInt8($0.familyNumber) } ?? 0)
    }

    fileprivate func key(of source: AnyIPPrefix) -> weft_source_key {
        weft_source_key(
            prefix_length: WEFT_SOURCE_PREFIX + UInt32(source.length), published: key, family: source.network.familyNumber,
            client: source.network.words)
    }
}

extension AnyIPPrefix {
    fileprivate init?(_ key: weft_source_key) {
        guard let length = Int(exactly: key.prefix_length), length >= Int(WEFT_SOURCE_PREFIX) else { return nil }
        let network: IPAddress =
            key.family == 6 ? .v6(IPv6Address(words: key.client)) : .v4(IPv4Address(networkOrder: key.client.0))
        self.init(network, length: length - Int(WEFT_SOURCE_PREFIX))
    }
}

extension IPAddress {
    fileprivate var familyNumber: UInt32 { family == .v6 ? 6 : 4 }

    /// Of IPv4 in the first.
    fileprivate var words: IPv6Address.Words {
        switch self {
        case .v4(let address): (address.networkOrder, 0, 0, 0)
        case .v6(let address): address.words
        }
    }
}

extension PublishedService {
    fileprivate init?(_ value: weft_published) {
        guard let vni = VNI(value.vni) else { return nil }
        let ipv6 = IPv6Address(words: value.ipv6)
        self.init(
            vni: vni, ipv4: IPv4Address(networkOrder: value.ipv4), ipv6: ipv6.isUnspecified ? nil : ipv6,
            target: UInt16(bigEndian: value.target), isDirect: UInt32(value.flags) & WEFT_PUBLISHED_DIRECT.rawValue != 0)
    }

    fileprivate var value: weft_published {
        weft_published(
            vni: vni.rawValue, ipv4: ipv4.networkOrder, ipv6: ipv6?.words ?? (0, 0, 0, 0), target: target.bigEndian,
            flags: UInt16(
                (sources.isEmpty ? 0 : WEFT_PUBLISHED_FOR_SOURCES.rawValue) | (isDirect ? WEFT_PUBLISHED_DIRECT.rawValue : 0)))
    }
}
