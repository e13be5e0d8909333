import Glibc
import Logging
import WeftAgent
import WeftFiles
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet
import WeftWire

/// A file per prepared container in the state directory, as the engine's containers survive boots too; a mount per namespace
/// in the run directory.
struct ContainerFiles: PreparedContainerStore {
    static let folderName = "containers"
    private let folder: RecordFolder<PreparedContainer>
    private let namespaces: String
    private let logger: Logger

    init(runDirectory: String, stateDirectory: String, logger: Logger) {
        self.logger = logger
        folder = RecordFolder("\(stateDirectory)/\(Self.folderName)")
        namespaces = "\(runDirectory)/netns"
    }

    func load() throws -> [PreparedContainer] {
        try folder.load { error in
            logger.warning(
                "the record of a prepared container cannot be read: the container cannot start, and says so",
                metadata: ["error": "\(error)"])
        }
    }

    func save(_ container: PreparedContainer) throws { try folder.save(container, as: container.token) }

    func remove(token: String) throws { try folder.remove(token) }

    func namespacePath(token: String) -> String { "\(namespaces)/\(token)" }

    func makeNamespace(token: String) throws -> Bool {
        let path = namespacePath(token: token)
        if FileSystem.exists(path), (try? NetworkNamespace(path: path).cookie()) != nil { return false }
        try FileSystem.makeDirectory(namespaces, mode: 0o755)
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
