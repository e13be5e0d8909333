internal import WeftModel
internal import WeftNet

/// What was observed, and what a difference and its users must find in it without looking through all of it.
struct Observation: Sendable {
    private(set) var state: ObservedState
    private var names: [EndpointID: Few<String>] = [:]
    /// Host ends whose making was interrupted.
    private(set) var unfinished: Set<String> = []
    /// Addresses that interfaces of endpoints have.
    private(set) var held: Set<IPAddress> = []
    private var holders: [IPAddress: Int] = [:]

    init(_ state: ObservedState) {
        self.state = state
        for (name, endpoint) in state.endpoints { note(name, endpoint) }
    }

    var ids: some Sequence<EndpointID> { names.keys }

    func forEachInterface(of id: EndpointID, _ body: (String) -> Void) { names[id]?.forEach(body) }

    /// Takes note of an operation that succeeded.
    mutating func record(_ operation: DatapathOperation) {
        guard let name = operation.hostInterface else { return state.record(operation) }
        if let former = state.endpoints[name] { forget(name, former) }
        state.record(operation)
        if let endpoint = state.endpoints[name] { note(name, endpoint) }
    }

    private mutating func note(_ name: String, _ endpoint: ObservedEndpoint) {
        if let id = endpoint.id { names[id, default: Few()].insert(name) } else { unfinished.insert(name) }
        for address in endpoint.entry?.addresses ?? [] {
            holders[address, default: 0] += 1
            held.insert(address)
        }
    }

    private mutating func forget(_ name: String, _ endpoint: ObservedEndpoint) {
        if let id = endpoint.id {
            names[id]?.remove(name)
            if names[id]?.isEmpty == true { names[id] = nil }
        } else {
            unfinished.remove(name)
        }
        for address in endpoint.entry?.addresses ?? [] {
            holders[address, default: 0] -= 1
            if holders[address] == 0 {
                holders[address] = nil
                held.remove(address)
            }
        }
    }
}

extension DatapathOperation {
    /// The host end that is not the same after it.
    fileprivate var hostInterface: String? {
        switch self {
        case .removeEndpoint(let name), .createEndpoint(_, let name), .repairEndpoint(_, let name): name
        default: nil
        }
    }
}
