internal import Synchronization
internal import WeftBPF
internal import WeftDatapath
internal import WeftLinux
internal import WeftModel
internal import WeftNet

/// The ports of this host that are published for services: each is held, so that no other process takes it, and leads to its service.
///
/// A port that another process has stays its own, and is not published here: that is told, and tried again with every look at the kernel.
final class Entrances: Sendable {
    private let namespace: NetworkNamespace
    private let programs: DatapathPrograms
    private let ports = Mutex(Ports())

    private struct Ports {
        /// Nil for one that is published, but could not be held.
        var holds: [PublishedAt: PortHold?] = [:]
        var conflicts: [PublishedAt: String] = [:]
    }

    init(namespace: NetworkNamespace, programs: DatapathPrograms) {
        self.namespace = namespace
        self.programs = programs
    }

    /// Ports that are not published here, each with a sentence that says why.
    var conflicts: [PublishedAt: String] { ports.withLock { $0.conflicts } }

    func publish(_ port: PublishedAt, _ service: PublishedService) throws {
        let isHeld = ports.withLock { $0.holds[port] != nil }
        if !isHeld, let conflict = try take(port) {
            try programs.removePublished(port)
            return ports.withLock { $0.conflicts[port] = conflict }
        }
        try programs.putPublished(port, service)
    }

    func withdraw(_ port: PublishedAt) throws {
        try programs.removePublished(port)
        ports.withLock { ports in
            ports.holds[port] = nil
            ports.conflicts[port] = nil
        }
    }

    /// What is published: a port that this process does not hold yet is not.
    func published() throws -> [PublishedAt: PublishedService] {
        let held = ports.withLock { Set($0.holds.keys) }
        return try programs.published().filter { held.contains($0.key) }
    }

    /// Why the port is not to be had; nil when it is.
    private func take(_ port: PublishedAt) throws -> String? {
        let number = Int32(port.protocolNumber)
        let hold: PortHold?
        do {
            hold = try PortHold.take(port.port, protocol: number, in: namespace)
        } catch let error as SystemError where error.isUnknownProtocol {
            // Nobody takes it by a protocol that the kernel has not.
            hold = nil
        }
        if hold == nil {
            // What is bound to an address that nobody outside asks stands beside it.
            let others = try ListedSocket.all(protocol: number, in: namespace).filter { $0.port == port.port && $0.isOpen }
            if let other = others.first(where: { !$0.address.isOnlyLocal }) {
                let holder = other.holder.map { "by \($0)" } ?? "by another program"
                return "port \(port) of this host is in use \(holder), and is not published here"
            }
        }
        ports.withLock { ports in
            ports.holds[port] = .some(hold)
            ports.conflicts[port] = nil
        }
        return nil
    }
}

extension IPAddress {
    /// Loopback, and the address of the resolver.
    fileprivate var isOnlyLocal: Bool {
        switch self {
        case .v4(let address): address.isLoopback || address == Constants.resolver
        case .v6(let address): address.rawValue == 1
        }
    }
}
