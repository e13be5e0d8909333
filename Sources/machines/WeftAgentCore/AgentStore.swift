package import WeftModel
package import WeftNode

/// Keeps what the agent must know after a restart.
package protocol AgentStore {
    /// Durable when it returns.
    ///
    /// - Parameter interfaceIndexes: of the endpoints in `change`.
    func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws
    /// A full set, or what is different from what was saved before. Never half written.
    func saveView(_ change: Assignments) throws
}
