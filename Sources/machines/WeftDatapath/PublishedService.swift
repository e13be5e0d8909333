package import WeftModel
package import WeftNet

/// A port of the host, at all its addresses.
package struct PublishedAt: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// As IP numbers them.
    package var protocolNumber: UInt8
    package var port: UInt16

    package init(protocolNumber: UInt8, port: UInt16) {
        self.protocolNumber = protocolNumber
        self.port = port
    }

    package init(_ transport: PortConfig.Transport, _ port: UInt16) {
        self.init(protocolNumber: transport.number, port: port)
    }

    package var description: String {
        "\(port)/" + (PortConfig.Transport.allCases.first { $0.number == protocolNumber }?.rawValue ?? "\(protocolNumber)")
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.port, left.protocolNumber) < (right.port, right.protocolNumber)
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

    package init(vni: VNI, ipv4: IPv4Address, ipv6: IPv6Address? = nil, target: UInt16) {
        self.vni = vni
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.target = target
    }
}

// MARK: Which ports are published

extension Compilation {
    /// Of a service's place on the ingress network.
    mutating func forEachPort(of place: ServicePlace, _ body: (inout Compilation, PublishedAt) -> Void) {
        guard isLocal(place.network), networks[place.network]?.spec.ingress == true else { return }
        for port in services[place.service]?.ports ?? [] where port.published != 0 {
            body(&self, PublishedAt(port.transport, port.published))
        }
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
            let config = service.ports.first(where: { PublishedAt($0.transport, $0.published) == port }),
            let address = service.addresses.first(where: { $0.network == place.network })
        else { return nil }
        return PublishedService(vni: network.vni, ipv4: address.ipv4, ipv6: address.ipv6, target: config.target)
    }
}
