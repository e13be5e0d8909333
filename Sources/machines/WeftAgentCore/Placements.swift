package import WeftModel

/// Where the inside ends of this node's endpoints go. The machine knows endpoints; that they are interfaces of
/// processes on this host is known here.
package struct Placements: Sendable {
    /// Path of each sandbox's network namespace, for as long as it lives.
    private var namespaces: [SandboxID: String] = [:]
    /// Interfaces of sandboxes whose maker chose their names.
    private var chosen: [SandboxID: [NetworkID: ChosenInterface]] = [:]
    /// N of ethN. Kept over restarts: an interface is not renamed while its sandbox runs.
    package private(set) var interfaceIndexes: [EndpointID: Int]

    package init(interfaceIndexes: [EndpointID: Int] = [:]) {
        self.interfaceIndexes = interfaceIndexes
    }

    package struct Placement: Hashable, Sendable {
        package let namespacePath: String
        package let interfaceIndex: Int
        /// Nil: `eth` and the index.
        package let chosen: ChosenInterface?
    }

    /// What a sandbox's maker wants of its interface on a network.
    package struct ChosenInterface: Hashable, Sendable, Codable {
        package var name: String
        /// Whether the sandbox may reach the outside by it.
        package var takesDefaultRoute: Bool
        package init(name: String, takesDefaultRoute: Bool = true) {
            self.name = name
            self.takesDefaultRoute = takesDefaultRoute
        }
    }

    package mutating func place(
        _ sandbox: SandboxID, namespacePath: String, interfaces: [NetworkID: ChosenInterface] = [:]
    ) {
        namespaces[sandbox] = namespacePath
        if !interfaces.isEmpty { chosen[sandbox, default: [:]].merge(interfaces) { _, new in new } }
    }

    package mutating func forget(_ sandbox: SandboxID) {
        namespaces[sandbox] = nil
        chosen[sandbox] = nil
    }

    /// Gives new endpoints of a sandbox the lowest free interface, in the endpoints' order; those that have one keep it.
    ///
    /// - Parameter endpoints: all of the sandbox.
    package mutating func assign(_ endpoints: [Endpoint]) {
        var taken = Set(endpoints.compactMap { interfaceIndexes[$0.id] })
        for endpoint in endpoints where interfaceIndexes[endpoint.id] == nil {
            let index = (0...taken.count).first { !taken.contains($0) } ?? taken.count
            taken.insert(index)
            interfaceIndexes[endpoint.id] = index
        }
    }

    /// An interface that is there already keeps its name.
    package mutating func adopt(_ endpoint: EndpointID, interface: String) {
        if interface.hasPrefix("eth"), let index = Int(interface.dropFirst(3)), index >= 0 { interfaceIndexes[endpoint] = index }
    }

    package mutating func forget(_ endpoint: EndpointID) { interfaceIndexes[endpoint] = nil }

    /// Nil when the sandbox is not on this host any more.
    package func placement(of endpoint: Endpoint) -> Placement? {
        guard let path = namespaces[endpoint.sandbox], let index = interfaceIndexes[endpoint.id] else { return nil }
        return Placement(
            namespacePath: path, interfaceIndex: index, chosen: chosen[endpoint.sandbox]?[endpoint.network])
    }
}
