internal import Glibc

/// Takes a port of this host, at all its addresses of both families, so that no other process gets it. Nothing is accepted by it: it does
/// not listen, and what asks for the port is answered as where nobody does.
package final class PortHold: Sendable {
    private let socket: OwnedDescriptor

    private init(_ socket: consuming OwnedDescriptor) { self.socket = socket }

    /// Nil if another has the port. - Parameter protocol: `IPPROTO_TCP`, `IPPROTO_UDP` or `IPPROTO_SCTP`.
    package static func take(
        _ port: UInt16, protocol number: Int32, in namespace: NetworkNamespace = .current
    ) throws -> PortHold? {
        try namespace.run {
            let kind = Int32((number == Int32(IPPROTO_UDP) ? SOCK_DGRAM : SOCK_STREAM).rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            let six = OwnedDescriptor(owning: Glibc.socket(AF_INET6, kind, number))
            if six.rawValue >= 0 { return try bound(six, port, AF_INET6) }
            // A host without IPv6.
            let four = OwnedDescriptor(owning: Glibc.socket(AF_INET, kind, number))
            guard four.rawValue >= 0 else { throw SystemError.last("open a socket to hold port \(port)") }
            return try bound(four, port, AF_INET)
        }
    }

    private static func bound(
        _ socket: consuming OwnedDescriptor, _ port: UInt16, _ family: Int32
    ) throws(SystemError) -> PortHold? {
        let descriptor = socket.rawValue
        // Whatever net.ipv6.bindv6only says: of both families.
        var off: Int32 = 0
        if family == AF_INET6 {
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, socklen_t(MemoryLayout<Int32>.size))
        }
        let result = family == AF_INET6 ? bindSix(descriptor, port) : bindFour(descriptor, port)
        if result == 0 { return PortHold(socket) }
        guard errno == EADDRINUSE else { throw .last("hold port \(port)") }
        return nil
    }

    private static func bindSix(_ descriptor: Int32, _ port: UInt16) -> Int32 {
        var name = sockaddr_in6()
        name.sin6_family = sa_family_t(AF_INET6)
        name.sin6_port = port.bigEndian
        return withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }

    private static func bindFour(_ descriptor: Int32, _ port: UInt16) -> Int32 {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        return withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

extension SystemError {
    /// The kernel has no such protocol.
    package var isUnknownProtocol: Bool { code == EPROTONOSUPPORT }
}
