package import WeftModel
package import WeftNode

/// Keeps what the agent must know after a restart. Implemented on the state directory.
package protocol AgentStore: Sendable {
    /// What earlier runs left; a new node's when there is nothing.
    func load() throws -> (node: SavedNode, interfaceIndexes: [EndpointID: Int])
    /// Durable when it returns.
    func saveOwn(_ own: SavedNode.Own, interfaceIndexes: [EndpointID: Int]) throws
    /// May be lost with the host's power; never half written.
    func saveView(_ view: Assignments) throws
}
