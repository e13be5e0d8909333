import Glibc
import WeftAgent
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet
import WeftWire

/// Network namespaces by their paths: those of runtimes, and those that weftd makes for an engine's containers, each a mount in the
/// run directory.
struct NamespaceFiles: ContainerNamespaces, NamespaceReader {
    private let directory: String

    init(runDirectory: String) { directory = "\(runDirectory)/netns" }

    func namespace(at path: String) throws -> UInt64? {
        do {
            return try NetworkNamespace(path: path).cookie()
        } catch let error as SystemError where error.isNotFound || error.code == EINVAL {
            // EINVAL: the mount is gone and the file below it is left.
            return nil
        }
    }

    func namespacePath(token: String) -> String { "\(directory)/\(token)" }

    func makeNamespace(token: String) throws -> Bool {
        let path = namespacePath(token: token)
        if FileSystem.exists(path), (try? NetworkNamespace(path: path).cookie()) != nil { return false }
        try FileSystem.makeDirectory(directory, mode: 0o755)
        try NetworkNamespace.make(at: path)
        let inside = try NetlinkSocket.open(in: NetworkNamespace(path: path))
        let loopback = try inside.get(.getLink(name: "lo"), "find interface lo") { LinkMessage($0) }
        try inside.change(.setLink(index: loopback.index, LinkChange(isUp: true)), "set up lo")
        // As engines have it where they make the namespace: ping and low ports need no capability.
        let settings = Sysctl(in: NetworkNamespace(path: path))
        try settings.write("net.ipv4.ping_group_range", "0 2147483647")
        try settings.write("net.ipv4.ip_unprivileged_port_start", "0")
        return true
    }

    func removeNamespace(token: String) throws { try NetworkNamespace.remove(at: namespacePath(token: token)) }
}

/// Publishes on this host.
struct HostPorts: PortPublishing {
    private let table = PublishedPorts()
    /// Where the host's own packets to a container come from.
    let source: @Sendable () -> IPv4Address?

    /// Linux's own range for ports of nobody's choice, without its lower half, where connections begin.
    private static let free: ClosedRange<UInt16> = 49153...60999

    func publish(_ ports: [PublishedPort], interfaces: Set<EndpointID>) throws {
        guard let source = source() else { return try table.remove() }
        try table.apply(ports, source: source, interfaces: interfaces)
    }

    func freePort(for wanted: WantedPort, taken: Set<UInt16>) throws -> UInt16? {
        let number =
            switch wanted.protocol {
            case .tcp: Int32(IPPROTO_TCP)
            case .udp: Int32(IPPROTO_UDP)
            case .sctp: Int32(IPPROTO_SCTP)
            }
        let address = wanted.hostAddress ?? IPv4Address(rawValue: 0)
        func isFree(_ port: UInt16) throws -> Bool {
            try !taken.contains(port) && PortProbe.isFree(port, at: address, protocol: number)
        }
        if let range = wanted.hostPorts { return try range.first(where: isFree) }
        let first = UInt16.random(in: Self.free)
        return try (Array(first...Self.free.upperBound) + Array(Self.free.lowerBound..<first)).first(where: isFree)
    }
}
