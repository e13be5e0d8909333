package import WeftModel
package import WeftNet

/// Why a call of the engine's fails. The sentence reaches the user by the engine's own error message.
package struct PluginError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// An endpoint as the engine wants it.
package struct PluginEndpoint: Hashable, Sendable, Codable {
    /// With an IPv4 and a MAC address.
    package var endpoint: EndpointSpec
    /// The container's namespace as the engine names it, from the join on.
    package var sandbox: String?
    /// Of the route to the resolver by this endpoint.
    package var resolverLength: Int?

    package init(_ endpoint: EndpointSpec) { self.endpoint = endpoint }

    private enum CodingKeys: String, CodingKey { case sandbox, resolverLength }

    package init(from decoder: any Decoder) throws {
        endpoint = try EndpointSpec(from: decoder)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        sandbox = try values.decodeIfPresent(String.self, forKey: .sandbox)
        resolverLength = try values.decodeIfPresent(Int.self, forKey: .resolverLength)
    }

    package func encode(to encoder: any Encoder) throws {
        try endpoint.encode(to: encoder)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encodeIfPresent(sandbox, forKey: .sandbox)
        try values.encodeIfPresent(resolverLength, forKey: .resolverLength)
    }
}

/// What the drivers ask of this node. Nothing here waits for the cluster but where it says so.
package protocol PluginBackend: Sendable {
    /// A network by id, name, or the beginning of an id. `isNew`: a manager may have made it just now, and this node is
    /// to wait a little for it.
    func network(_ reference: String, isNew: Bool) async throws -> Network
    /// Takes one particular address, or any. Waits up to five seconds for the manager where this node leases none.
    func reserve(_ subnet: SubnetID, _ address: IPAddress?) async throws -> IPAddress
    /// The MAC address of an endpoint that asked for none: nobody else's on the network.
    func freeMAC(for ipv4: IPv4Address, on network: NetworkID) async throws -> MACAddress
    func release(_ network: NetworkID, _ address: IPAddress) async
    /// Returns the name of the interface that waits on the host to be moved into the container.
    func attach(_ id: EndpointID, _ endpoint: EndpointSpec, sandboxKey: String) async throws -> String
    /// Nothing there is success. Does not wait for more than the kernel.
    func detach(_ id: EndpointID) async
}

/// What the plugin knows over restarts.
package struct PluginState: Hashable, Sendable, Codable {
    /// The networks that the engine made with this driver, by the engine's ids.
    package var networks: [String: NetworkID] = [:]
    /// By the engine's ids, from CreateEndpoint to DeleteEndpoint.
    package var endpoints: [String: PluginEndpoint] = [:]
    package init() {}
}

/// Keeps the plugin's state. Durable when `save` returns.
package protocol PluginStore: Sendable {
    func loadPlugin() throws -> PluginState
    func savePlugin(_ state: PluginState) throws
}
