package import WeftDatapath
package import WeftModel
package import WeftNet

/// A kernel in memory: does what the data path is told, and lets go what others take away.
package struct SimKernel: Sendable {
    package private(set) var state: ObservedState
    /// Network namespaces that there are.
    package var namespaces: Set<String> = []
    /// Something is not as the data path left it, and nobody has looked since.
    package private(set) var hasDrifted = false
    package private(set) var observations = 0
    package private(set) var operations: [DatapathOperation] = []

    package init(dataPathAddress: IPv4Address) {
        state = ObservedState(host: HostConfiguration(dataPathAddress: dataPathAddress))
    }

    /// The endpoints that have an interface.
    package var endpoints: Set<EndpointID> { Set(state.endpoints.values.compactMap(\.id)) }

    package mutating func observe(for host: HostConfiguration) -> ObservedState {
        observations += 1
        hasDrifted = false
        var seen = state
        seen.parts = state.parts(for: host)
        seen.host = host
        return seen
    }

    /// Performs the operations in order, but for those that `refusal` has a sentence against.
    package mutating func apply(
        _ operations: [DatapathOperation], refusal: (DatapathOperation) -> String? = { _ in nil }
    ) -> [DatapathFailure] {
        var failures: [DatapathFailure] = []
        for operation in operations {
            // What leads to an endpoint that could not be made has nowhere to lead.
            if case .setLocation(_, .local(let id, _, _, _)) = operation, failures.contains(where: { $0.endpoint == id }) { continue }
            if let reason = refusal(operation) ?? missingNamespace(operation) {
                failures.append(DatapathFailure(operation: operation, reason: reason))
            } else {
                state.record(operation)
                self.operations.append(operation)
            }
        }
        return failures
    }

    /// What was done since the last call.
    package mutating func takeOperations() -> [DatapathOperation] {
        defer { operations = [] }
        return operations
    }

    private func missingNamespace(_ operation: DatapathOperation) -> String? {
        guard case .createEndpoint(let endpoint, _) = operation, case .namespace(let path) = endpoint.placement,
            !namespaces.contains(path)
        else { return nil }
        return "there is no namespace \(path)"
    }

    // MARK: What others do

    /// A namespace ends, and the interfaces in it.
    package mutating func endNamespace(_ path: String, of endpoints: Set<EndpointID>) {
        namespaces.remove(path)
        for id in endpoints { removeInterface(of: id) }
    }

    /// An interface is taken away: what named it leads to nothing.
    package mutating func removeInterface(of id: EndpointID) {
        let names = state.endpoints.filter { $0.value.id == id }.map(\.key)
        guard !names.isEmpty else { return }
        for name in names { state.endpoints[name] = nil }
        for case (let address, .local(id, _, _, _)) in state.locations { state.locations[address] = .stale }
        state.strayEntries.insert(UInt32(state.strayEntries.count) + 1)
        hasDrifted = true
    }

    package mutating func removeLocation(_ address: OverlayAddress) {
        state.locations[address] = nil
        hasDrifted = true
    }

    package mutating func removePart(_ part: HostPart) {
        state.parts.remove(part)
        hasDrifted = true
    }
}
