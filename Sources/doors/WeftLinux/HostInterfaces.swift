package import WeftNet
package import WeftWire

/// A snapshot of a namespace's interfaces, IPv4 addresses and routes.
package struct HostInterfaces: Sendable {
    /// By index.
    package let links: [LinkMessage]
    package let addresses: [AddressMessage]
    package let routes: [RouteMessage]

    /// Reads them in `namespace`.
    package static func read(in namespace: NetworkNamespace = .current) throws -> HostInterfaces {
        let socket = try NetlinkSocket.open(in: namespace)
        return HostInterfaces(
            links: try socket.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }.sorted { $0.index < $1.index },
            addresses: try socket.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) },
            routes: try socket.dump(.dumpRoutes(), "list routes") { RouteMessage($0) })
    }

    package func link(index: UInt32) -> LinkMessage? { links.first { $0.index == index } }
    package func link(name: String) -> LinkMessage? { links.first { $0.name == name } }

    /// The interface that has an address.
    package func link(with address: IPv4Address) -> LinkMessage? {
        addresses.first { $0.address == address }.flatMap { link(index: $0.interface) }
    }

    /// The MTU of the interface that has an address; nil if none has.
    package func mtu(ofAddress address: IPv4Address) -> MTU? { link(with: address)?.mtu.flatMap { MTU($0) } }

    /// The first address of an interface, in the kernel's order.
    package func address(ofInterface name: String) -> IPv4Address? {
        guard let link = link(name: name) else { return nil }
        return addresses.first { $0.interface == link.index }?.address
    }

    /// The address that packets to `target` leave from: that of the longest matching route in the main table.
    package func sourceAddress(towards target: IPv4Address) -> IPv4Address? {
        let matching = routes.filter { $0.table == RouteMessage.mainTable && $0.destination.contains(target) }
        guard let route = matching.max(by: { $0.destination.length < $1.destination.length }) else {
            return link(with: target) == nil ? nil : target
        }
        if let source = route.preferredSource { return source }
        return addresses.first { $0.interface == route.interface }?.address
    }

    /// The interface of the default route with the lowest metric.
    package var defaultLink: LinkMessage? {
        routes.filter { $0.destination.length == 0 && $0.table == RouteMessage.mainTable }
            .min { ($0.metric ?? 0) < ($1.metric ?? 0) }
            .flatMap { $0.interface }.flatMap { link(index: $0) }
    }

    /// The address this host is most likely reached at: the default interface's; else that of the only other interface
    /// that is up and has one.
    package var defaultAddress: IPv4Address? {
        if let address = defaultLink.flatMap({ address(ofInterface: $0.name) }) { return address }
        let candidates = addresses.filter { address in
            !address.address.isLoopback && address.address.rawValue >> 16 != 0xa9fe
                && link(index: address.interface)?.isUp == true
        }
        return Set(candidates.map(\.interface)).count == 1 ? candidates.first?.address : nil
    }

    /// Destinations in the main table without the default route, sorted: what an overlay subnet must not overlap.
    package var routedPrefixes: [IPv4Prefix] {
        Set(routes.filter { $0.table == RouteMessage.mainTable && $0.destination.length > 0 }.map(\.destination)).sorted()
    }
}
