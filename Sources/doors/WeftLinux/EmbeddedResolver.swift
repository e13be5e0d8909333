internal import Glibc
internal import Synchronization
internal import WeftNet
internal import WeftWire

/// The name server that a container engine keeps in a container's network namespace, at 127.0.0.11, and what is put in front
/// of it there: sockets, and a rule of nftables that leads the container's queries to them.
///
/// The rule is as the engine's own, which leads queries for port 53 to the port that its server got; it comes before that one.
package struct EmbeddedResolver: Sendable {
    package static let address = "127.0.0.11"
    private static let rawAddress: UInt32 = 0x7f00_000b
    private static let table = "weft"
    /// On queries that are for the engine all the same.
    private static let mark: UInt32 = 0x7765_6674

    private let namespace: NetworkNamespace

    package init(in namespace: NetworkNamespace) { self.namespace = namespace }

    /// Makes sockets for UDP and TCP, bound to one port; the caller owns them.
    package func listen() throws -> (datagram: Int32, stream: Int32, port: UInt16) {
        try namespace.run {
            // A port that is free for UDP may be taken for TCP; the next draw finds another one.
            for attempt in 1... {
                let datagram = try Self.socket(SOCK_DGRAM)
                try Self.bind(datagram, port: 0)
                let port = try Self.port(of: datagram)
                let stream = try Self.socket(SOCK_STREAM)
                do {
                    try Self.bind(stream, port: port)
                    guard Glibc.listen(stream.rawValue, 64) == 0 else { throw SystemError.last("listen in \(namespace)") }
                } catch {
                    guard attempt < 10 else { throw error }
                    continue
                }
                return (datagram.release(), stream.release(), port)
            }
            throw SystemError("listen in \(namespace)", code: EADDRINUSE)
        }
    }

    /// A socket whose other end is the engine's server; the caller owns it.
    package func connect(overTCP: Bool) throws -> Int32 {
        try namespace.run {
            let socket = try Self.socket(overTCP ? SOCK_STREAM : SOCK_DGRAM)
            var mark = Self.mark
            guard setsockopt(socket.rawValue, SOL_SOCKET, SO_MARK, &mark, socklen_t(MemoryLayout<UInt32>.size)) == 0,
                Self.withAddress(port: 53, { Glibc.connect(socket.rawValue, $0, $1) }) == 0
            else { throw SystemError.last("reach the engine's resolver in \(namespace)") }
            return socket.release()
        }
    }

    /// Leads the container's queries to `port`, as long as the diversion lasts.
    package func divert(to port: UInt16) throws -> Diversion {
        let table = RedirectionTable(
            name: Self.table, address: IPv4Address(rawValue: Self.rawAddress), port: 53, target: port, exemptMark: Self.mark,
            // Docker's rule is at -100, by whichever iptables: the first that translates a connection is the only one.
            priority: -101)
        let socket = try NetlinkSocket.open(in: namespace, to: .netfilter)
        try socket.change(batch: table.batch, "lead queries to weftd in \(namespace)")
        return Diversion(socket)
    }

    /// The kernel takes it back when it is ended, and when this process ends, however it does: the engine answers alone then.
    package final class Diversion: Sendable {
        /// The rules are this socket's.
        private let socket: Mutex<NetlinkSocket?>

        fileprivate init(_ socket: NetlinkSocket) { self.socket = Mutex(socket) }

        /// Leaves queries to the engine again.
        package func end() { socket.withLock { $0 = nil } }
    }

    private static func socket(_ type: __socket_type) throws(SystemError) -> OwnedDescriptor {
        let descriptor = Glibc.socket(AF_INET, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .last("open a socket") }
        return OwnedDescriptor(owning: descriptor)
    }

    private static func bind(_ socket: borrowing OwnedDescriptor, port: UInt16) throws(SystemError) {
        let descriptor = socket.rawValue
        // The namespace's lo, and with it the address, may be set up only after this.
        var on: Int32 = 1
        guard setsockopt(descriptor, Int32(IPPROTO_IP), IP_FREEBIND, &on, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw .last("bind to \(address)")
        }
        guard withAddress(port: port, { Glibc.bind(descriptor, $0, $1) }) == 0 else { throw .last("bind to \(address)") }
    }

    private static func port(of socket: borrowing OwnedDescriptor) throws(SystemError) -> UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = socket.rawValue
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        guard result == 0 else { throw .last("ask for a socket's port") }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func withAddress(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = rawAddress.bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}
