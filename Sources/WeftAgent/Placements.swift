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

    /// Gives new endpoints the lowest free interface of their sandbox, in the endpoints' order, and forgets those that are
    /// gone; true when anything changed.
    package mutating func assign(_ endpoints: [Endpoint]) -> Bool {
        let before = interfaceIndexes
        let known = Set(endpoints.map(\.id))
        interfaceIndexes = interfaceIndexes.filter { known.contains($0.key) }
        var taken: [SandboxID: Set<Int>] = [:]
        for endpoint in endpoints {
            if let index = interfaceIndexes[endpoint.id] { taken[endpoint.sandbox, default: []].insert(index) }
        }
        for endpoint in endpoints where interfaceIndexes[endpoint.id] == nil {
            let used = taken[endpoint.sandbox] ?? []
            let index = (0...used.count).first { !used.contains($0) } ?? used.count
            taken[endpoint.sandbox, default: []].insert(index)
            interfaceIndexes[endpoint.id] = index
        }
        return interfaceIndexes != before
    }

    /// Nil when the sandbox is not on this host any more.
    package func placement(of endpoint: Endpoint) -> Placement? {
        guard let path = namespaces[endpoint.sandbox], let index = interfaceIndexes[endpoint.id] else { return nil }
        return Placement(
            namespacePath: path, interfaceIndex: index, chosen: chosen[endpoint.sandbox]?[endpoint.network])
    }
}
