package import WeftDatapath
package import WeftLinux
package import WeftModel
package import WeftNet
internal import WeftWire

extension KernelDatapath {
    /// A finished host end, and what it says of its endpoint.
    package struct FinishedEndpoint: Sendable {
        package let id: EndpointID
        package let entry: EndpointEntry
    }

    /// The endpoints whose making was finished, whoever made them. One whose entry is lost carries nothing, and is not among them.
    package func finishedEndpoints(for host: HostConfiguration) throws -> [FinishedEndpoint] {
        try observe(for: host).endpoints.values.compactMap { endpoint in
            guard let id = endpoint.id, let entry = endpoint.entry else { return nil }
            return FinishedEndpoint(id: id, entry: entry)
        }
    }

    /// The veth interfaces in a namespace, by address.
    package static func interfaces(in namespace: NetworkNamespace) throws -> [MACAddress: String] {
        let links = try NetlinkSocket.open(in: namespace).dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        return links.reduce(into: [:]) { result, link in
            if link.kind == "veth", let mac = link.mac { result[mac] = link.name }
        }
    }
}
