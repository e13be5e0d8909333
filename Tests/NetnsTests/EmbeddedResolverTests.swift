import Glibc
import TestSupport
import Testing
import WeftLinux

@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(5)))
struct EmbeddedResolverTests {
    private let topology: KernelTopology
    private let namespace: NetworkNamespace
    private let embedded: EmbeddedResolver
    /// Stands for the engine's server: at port 53 itself, where no further translation is needed.
    private let engine: Socket

    init() throws {
        topology = try KernelTopology()
        namespace = try topology.namespace("c")
        embedded = EmbeddedResolver(in: namespace)
        engine = try Socket(in: namespace)
        try engine.bind()
    }

    @Test("Queries are led to weftd's socket as long as the diversion lasts, and are the engine's again after it")
    func diversion() throws {
        let (datagram, stream, port) = try embedded.listen()
        let (own, tcp) = (Socket(datagram), Socket(stream))
        #expect(try ask(engine) && !own.hasMessage)
        let diversion = try embedded.divert(to: port)
        #expect(try ask(own) && !engine.hasMessage)
        // What weftd itself asks the engine.
        #expect(try ask(engine, with: Socket(try embedded.connect(overTCP: false))) && !own.hasMessage)
        let client = try run(in: namespace, "timeout 30 bash -c 'exec 3<>/dev/tcp/127.0.0.11/53 && echo connected'")
        #expect(client.contains("connected") && tcp.hasMessage)
        // As the kernel does when the process ends.
        diversion.end()
        #expect(try !run(in: namespace, "nft list tables").contains("weft"))
        #expect(try ask(engine) && !own.hasMessage)
    }

    @Test("A table that an earlier weftd left is replaced; one that another holds is not touched")
    func present() throws {
        try run(in: namespace, "nft add table ip weft; nft 'add chain ip weft output { type nat hook output priority -101; }'")
        let (datagram, stream, port) = try embedded.listen()
        let (own, tcp) = (Socket(datagram), Socket(stream))
        let diversion = try embedded.divert(to: port)
        #expect(try ask(own))
        #expect(throws: (any Error).self) { try embedded.divert(to: port) }
        #expect(try ask(own))
        diversion.end()
        withExtendedLifetime(tcp) {}
    }

    @Test("A namespace whose loopback interface is still down gets its sockets")
    func early() throws {
        let namespace = try topology.namespace("early")
        try run(in: namespace, "ip link set lo down")
        let embedded = EmbeddedResolver(in: namespace)
        let (datagram, stream, port) = try embedded.listen()
        let (own, tcp) = (Socket(datagram), Socket(stream))
        let diversion = try embedded.divert(to: port)
        try run(in: namespace, "ip link set lo up")
        #expect(try ask(own, with: Socket(in: namespace)))
        diversion.end()
        withExtendedLifetime(tcp) {}
    }

    @Test("A path is a namespace only once one is there")
    func presence() throws {
        #expect(namespace.isThere && NetworkNamespace.current.isThere)
        #expect(!NetworkNamespace(path: "/run/netns").isThere && !NetworkNamespace(path: "/run/netns/no-such").isThere)
    }

    /// A query of the container's arrives at `socket`.
    private func ask(_ socket: Socket, with client: Socket? = nil) throws -> Bool {
        let client = try client ?? Socket(in: namespace)
        try client.send()
        return socket.takesMessage()
    }
}

/// A socket for UDP, or any that is taken over.
private final class Socket: Sendable {
    private let descriptor: OwnedDescriptor

    init(_ descriptor: Int32) { self.descriptor = OwnedDescriptor(owning: descriptor) }

    convenience init(in namespace: NetworkNamespace) throws {
        self.init(try namespace.run { socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) })
    }

    func bind() throws { #expect(Self.withAddress { Glibc.bind(descriptor.rawValue, $0, $1) } == 0) }

    func send() throws {
        let message: [UInt8] = [1]
        let sent = Self.withAddress { sendto(descriptor.rawValue, message, 1, 0, $0, $1) }
        // A socket that is connected takes no address, or the same.
        if sent != 1 { #expect(Glibc.send(descriptor.rawValue, message, 1, 0) == 1) }
    }

    var hasMessage: Bool { poll(milliseconds: 0) }

    func takesMessage() -> Bool {
        guard poll(milliseconds: 1000 * Int32(patienceSeconds)) else { return false }
        var byte: UInt8 = 0
        return recv(descriptor.rawValue, &byte, 1, 0) == 1
    }

    private func poll(milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&entry, 1, milliseconds) == 1
    }

    private static func withAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(53).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_000b).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}
