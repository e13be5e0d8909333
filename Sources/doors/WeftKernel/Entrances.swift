internal import Synchronization
internal import WeftBPF
internal import WeftDatapath
internal import WeftLinux
internal import WeftModel
internal import WeftNet
internal import WeftWire

/// The ports of this host that are published for services: each is held, so that no other process takes it, and leads to its service.
///
/// Clients come by the host's interfaces: each gets the program that leads their packets to tasks, for as long as a port is published, as it
/// comes and goes, whoever makes it.
///
/// A port that another process has stays its own, and is not published here: that is told, and tried again with every look at the kernel.
final class Entrances: Sendable {
    private let namespace: NetworkNamespace
    private let programs: DatapathPrograms
    private let netlink: NetlinkSocket
    private let ports = Mutex(Ports())
    /// One look at a time.
    private let looking = Mutex(())

    private struct Ports {
        /// Nil for one that is published, but could not be held.
        var holds: [PublishedAt: PortHold?] = [:]
        var conflicts: [PublishedAt: String] = [:]
        var events: InterfaceEvents?
    }

    init(namespace: NetworkNamespace, netlink: NetlinkSocket, programs: DatapathPrograms) {
        self.namespace = namespace
        self.netlink = netlink
        self.programs = programs
    }

    /// Ports that are not published here, each with a sentence that says why.
    var conflicts: [PublishedAt: String] { ports.withLock { $0.conflicts } }

    func publish(_ port: PublishedAt, _ service: PublishedService) throws {
        let isHeld = ports.withLock { $0.holds[port] != nil }
        if !isHeld, let conflict = try take(port) {
            try programs.removePublished(port)
            // Where the host has not got the address, nothing would be published anyhow.
            let isHere = try port.address.map { try addresses().contains($0) } ?? true
            return ports.withLock { $0.conflicts[port] = isHere ? conflict : nil }
        }
        try programs.putPublished(port, service)
        if ports.withLock({ $0.events == nil }) { try followInterfaces() }
    }

    func withdraw(_ port: PublishedAt) throws {
        try programs.removePublished(port)
        ports.withLock { ports in
            ports.holds[port] = nil
            ports.conflicts[port] = nil
        }
        guard ports.withLock({ $0.holds.isEmpty }) else { return }
        ports.withLock { $0.events = nil }
        try look()
    }

    /// Puts the program at the host's interfaces, and at those that come.
    private func followInterfaces() throws {
        let events = try InterfaceEvents(in: namespace) { [weak self] in
            // The next look is not far.
            try? self?.look()
        }
        ports.withLock { $0.events = events }
        try look()
    }

    /// Brings programs and addresses up to date with the host's interfaces.
    func look() throws {
        try looking.withLock { _ in
            let isPublishing = try !programs.published().isEmpty
            let links = try netlink.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
            let found = isPublishing ? links.filter { isEntrance($0, among: links) } : []
            let entrances = Dictionary(found.map { ($0.index, $0.isBare) }) { first, _ in first }
            let roles = try programs.attachedInterfaces()
            for (interface, isBare) in entrances where roles[interface] == nil {
                // One that has gone meanwhile needs none.
                do { try programs.attachOutside(interface: interface, isBare: isBare) } catch  where !isThere(interface) { continue }
            }
            for (interface, role) in roles where [.outside, .bare].contains(role) && entrances[interface] == nil {
                try programs.detach(interface: interface)
            }
            try programs.setHostAddresses(isPublishing ? addresses() : [])
        }
    }

    private func isThere(_ interface: UInt32) -> Bool {
        let links = try? netlink.dump(.dumpLinks(), "list interfaces") { LinkMessage($0) }
        return links?.contains { $0.index == interface } ?? false
    }

    /// A port of a bridge or bond hands on what it gets; Weft's own interfaces have programs of their own.
    private func isEntrance(_ link: LinkMessage, among links: [LinkMessage]) -> Bool {
        guard link.isEthernet || link.isBare, !isHostEnd(link),
            ![KernelDatapath.vxlanName, KernelDatapath.tunnelName, hostIngressInterface].contains(link.name)
        else {
            return false
        }
        let master = link.masterIndex.flatMap { index in links.first { $0.index == index } }
        return master == nil || master?.kind == "vrf"
    }

    /// What the host has, but for what is Weft's own.
    private func addresses() throws -> Set<IPAddress> {
        let own = try netlink.link(named: hostIngressInterface)?.index
        let four = try netlink.dump(.dumpAddresses(), "list addresses") { AddressMessage($0) }
        let six = try netlink.dump(.dumpIPv6Addresses(), "list addresses") { IPv6AddressMessage($0) }
        return Set(
            four.filter { $0.interface != own && $0.address != Constants.resolver }.map { IPAddress.v4($0.address) }
                + six.filter { $0.interface != own }.map { IPAddress.v6($0.address) })
    }

    /// What is published: a port that this process does not hold yet is not.
    func published() throws -> [PublishedAt: PublishedService] {
        let held = ports.withLock { Set($0.holds.keys) }
        try look()
        return try programs.published().filter { held.contains($0.key) }
    }

    /// Why the port is not to be had; nil when it is.
    private func take(_ port: PublishedAt) throws -> String? {
        let number = Int32(port.protocolNumber)
        let hold: PortHold?
        do {
            hold = try PortHold.take(port.port, at: port.address, protocol: number, in: namespace)
        } catch let error as SystemError where error.isUnknownProtocol {
            // Nobody takes it by a protocol that the kernel has not.
            hold = nil
        }
        if hold == nil {
            // What is bound to an address that nobody outside asks stands beside it.
            let others = try ListedSocket.all(protocol: number, in: namespace).filter { $0.port == port.port && $0.isOpen }
            let other = others.first { other in
                port.address.map { other.address == $0 || other.address.isUnspecified } ?? !other.address.isOnlyLocal
            }
            if let other {
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
    fileprivate var isOnlyLocal: Bool { isLoopback || self == .v4(Constants.resolver) }
}
