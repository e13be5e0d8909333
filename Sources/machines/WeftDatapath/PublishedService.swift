package import WeftModel
package import WeftNet

/// A port of the host, at one of its addresses or all of them.
package struct PublishedAt: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// As IP numbers them.
    package let protocolNumber: UInt8
    package let port: UInt16
    // The address in parts: an optional one in here is read where it is not aligned, in builds without optimisation (Swift 6.3).
    private let family: UInt8
    private let upper: UInt64
    private let lower: UInt64

    package init(protocolNumber: UInt8, port: UInt16) {
        self.protocolNumber = protocolNumber
        self.port = port
        family = 0
        upper = 0
        lower = 0
    }

    package init(protocolNumber: UInt8, port: UInt16, at address: IPAddress) {
        self.protocolNumber = protocolNumber
        self.port = port
        family = address.family == .v6 ? 6 : 4
        upper = UInt64(truncatingIfNeeded: address.bits >> 64)
        lower = UInt64(truncatingIfNeeded: address.bits)
    }

    package init(_ transport: PortConfig.Transport, _ port: UInt16) {
        self.init(protocolNumber: transport.number, port: port)
    }

    package init(_ transport: PortConfig.Transport, _ port: UInt16, at address: IPAddress) {
        self.init(protocolNumber: transport.number, port: port, at: address)
    }

    /// Nil: all that the host has, of both families. One that it has not, it may come to have.
    package var address: IPAddress? {
        switch family {
        case 4: .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: lower)))
        case 6: .v6(IPv6Address(rawValue: UInt128(upper) << 64 | UInt128(lower)))
        default: nil
        }
    }

    package var description: String {
        (address.map { $0.family == .v6 ? "[\($0)]:" : "\($0):" } ?? "") + "\(port)/"
            + (PortConfig.Transport.allCases.first { $0.number == protocolNumber }?.rawValue ?? "\(protocolNumber)")
    }

    package static func < (left: Self, right: Self) -> Bool {
        guard (left.port, left.protocolNumber) == (right.port, right.protocolNumber) else {
            return (left.port, left.protocolNumber) < (right.port, right.protocolNumber)
        }
        return (left.family, left.upper, left.lower) < (right.family, right.upper, right.lower)
    }
}

extension PortConfig.Transport {
    fileprivate var number: UInt8 {
        switch self {
        case .tcp: 6
        case .udp: 17
        case .sctp: 132
        }
    }
}

/// Where a published port leads: to a service's address on the ingress network, at which its tasks are chosen.
package struct PublishedService: Hashable, Sendable {
    package var vni: VNI
    package var ipv4: IPv4Address
    package var ipv6: IPv6Address?
    /// The tasks' port.
    package var target: UInt16
    /// Networks of clients that may ask; empty: everybody may.
    package var sources: Set<AnyIPPrefix>
    /// Tasks on other nodes answer clients by their own node.
    package var isDirect: Bool

    package init(
        vni: VNI, ipv4: IPv4Address, ipv6: IPv6Address? = nil, target: UInt16, sources: Set<AnyIPPrefix> = [],
        isDirect: Bool = false
    ) {
        self.vni = vni
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.target = target
        self.sources = sources
        self.isDirect = isDirect
    }
}

// MARK: Which ports are published

extension Compilation {
    /// Of a service's place on the ingress network.
    mutating func forEachPort(of place: ServicePlace, _ body: (inout Compilation, PublishedAt) -> Void) {
        guard isLocal(place.network), networks[place.network]?.spec.ingress == true else { return }
        guard let ports = services[place.service]?.publishedPorts else { return }
        for port in ports.keys { body(&self, port) }
    }

    /// Brings a port's entry up to date: of two services, for a moment, it is the lower id's.
    mutating func lead(_ port: PublishedAt) {
        touched.published.insert(port)
        var holder: ServicePlace?
        publishers[port]?.forEach { holder = min(holder ?? $0, $0) }
        desired.published[port] = holder.flatMap { published(port, for: $0) }
    }

    /// Ports from which a task on the ingress network answers clients by UDP.
    func udpPorts(of endpoint: Endpoint, on network: Network) -> [UInt16] {
        guard network.spec.ingress, let task = endpoint.task, let service = services[task.service] else { return [] }
        return Set(service.ports.filter { $0.transport == .udp }.map(\.target)).sorted()
    }

    /// The service's ports are others than before.
    mutating func followPorts(of place: ServicePlace) {
        guard networks[place.network]?.spec.ingress == true else { return }
        for id in tasksAt[place] ?? [] {
            if let attachment = attachments[id], let endpoint = desired.endpoints[id] { describe(attachment, endpoint.routes) }
        }
    }

    private func published(_ port: PublishedAt, for place: ServicePlace) -> PublishedService? {
        guard let service = services[place.service], let network = networks[place.network],
            let config = service.publishedPorts[port],
            let address = service.addresses.first(where: { $0.network == place.network })
        else { return nil }
        let said = try? IngressLabels(service.labels)
        return PublishedService(
            vni: network.vni, ipv4: address.ipv4, ipv6: address.ipv6, target: config.target, sources: said?.sources ?? [],
            isDirect: said?.isDirect ?? false)
    }
}

extension ServiceView {
    /// Where its ports are published at this host. Nowhere if its labels cannot be read: they may say that few are to reach it.
    fileprivate var publishedPorts: [PublishedAt: PortConfig] {
        guard let said = try? IngressLabels(labels) else { return [:] }
        var found: [PublishedAt: PortConfig] = [:]
        for port in ports where port.published != 0 {
            let addresses = said.addresses(of: port.published, port.transport)
            if addresses.isEmpty { found[PublishedAt(port.transport, port.published)] = port }
            for address in addresses { found[PublishedAt(port.transport, port.published, at: address)] = port }
        }
        return found
    }
}
