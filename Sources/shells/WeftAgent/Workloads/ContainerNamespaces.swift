package import WeftModel
import WeftNet

/// Makes the network namespaces of prepared containers. Blocks.
package protocol ContainerNamespaces: Sendable {
    func namespacePath(token: String) -> String
    /// Makes the namespace with its loopback up; one that is there is kept. True if it is new.
    func makeNamespace(token: String) throws -> Bool
    /// Nothing there is fine.
    func removeNamespace(token: String) throws
}
/// Publishes ports on this host. Blocks.
package protocol PortPublishing: Sendable {
    /// Brings the host to exactly these; `interfaces` are the host's ends of the containers that have them.
    func publish(_ ports: [PublishedPort], interfaces: Set<EndpointID>) throws
    /// A port of the host that nothing else listens on, among those wanted and not in `taken`; nil if there
    /// is none.
    func freePort(for wanted: WantedPort, taken: Set<UInt16>) throws -> UInt16?
}

/// Why a container was refused.
package enum PreparedContainerError: Error, Hashable, Sendable, CustomStringConvertible {
    case portTaken(WantedPort)
    case noWayOut(PortProtocol, UInt16)
    case alreadyConnected(name: String, network: String)
    case notConnected(name: String, network: String)

    package var description: String {
        switch self {
        case .portTaken(let wanted):
            "Bind for \(wanted.hostAddress?.description ?? "0.0.0.0"):\(wanted.hostPorts.map(Self.text) ?? "any") failed: "
                + "port is already allocated"
        case .noWayOut(let `protocol`, let port):
            "port \(port)/\(`protocol`) cannot be published: all networks of the container are internal; connect it to one that is not, "
                + "or leave out -p"
        case .alreadyConnected(let name, let network):
            "endpoint with name \(name) already exists in network \(network)"
        case .notConnected(let name, let network): "container \(name) is not connected to network \(network)"
        }
    }

    private static func text(_ ports: ClosedRange<UInt16>) -> String {
        ports.count == 1 ? "\(ports.lowerBound)" : "\(ports.lowerBound)-\(ports.upperBound)"
    }
}
