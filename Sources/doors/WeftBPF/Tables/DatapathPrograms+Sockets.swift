import CDatapathABI
import Synchronization
import WeftLinux

/// What the programs where sockets connect go by.
extension DatapathPrograms {
    /// Why nothing is translated where sockets connect; nil: it is.
    package var socketsProblem: String? { if case .off(let reason) = sockets { reason } else { nil } }

    /// The endpoint behind this host end is in the network namespace with this cookie. Its entry must be there.
    package func putNamespace(cookie: UInt64, interface: UInt32) throws(BPFError) {
        guard case .on(let hooks) = sockets,
            let endpoint = try endpointMap.get(weft_endpoint_key(ifindex: interface))
        else { return }
        let key = weft_namespace_key(cookie: cookie, vni: endpoint.vni, reserved: 0)
        let former = namespaces.withLock { $0.updateValue(key, forKey: interface) }
        if let former, former.cookie != key.cookie || former.vni != key.vni { try hooks.remove(former, interface: interface) }
        try hooks.put(key, interface: interface)
    }

    /// Whether the namespace of the endpoint behind a host end is known, or nobody asks for it.
    package func knowsNamespace(of interface: UInt32) -> Bool {
        guard case .on = sockets else { return true }
        return namespaces.withLock { $0[interface] != nil }
    }

    func removeNamespace(of interface: UInt32) throws(BPFError) {
        guard case .on(let hooks) = sockets, let key = namespaces.withLock({ $0.removeValue(forKey: interface) }) else { return }
        try hooks.remove(key, interface: interface)
    }

    /// Loads and attaches them if they are wanted and the host has what it takes.
    static func openSockets(
        _ wanted: ServiceTranslation, _ loader: inout ObjectLoader, _ pins: PinDirectory, _ sizes: MapSizes
    ) throws(BPFError) -> SocketState {
        guard wanted == .socket else {
            try SocketHooks.detach(pins: pins)
            return .off("it is turned off")
        }
        do {
            let root = try ControlGroups.root()
            let hooks = try SocketHooks(&loader, pins: pins, sizes: sizes)
            try hooks.attach(to: root)
            return .on(hooks)
        } catch {
            // Some may be attached, and would go by what nobody tells them any more.
            try SocketHooks.detach(pins: pins)
            return .off(String("\(error)".prefix { $0 != "\n" }))
        }
    }
}

enum SocketState: Sendable {
    case on(SocketHooks)
    case off(String)
}
