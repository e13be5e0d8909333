internal import Glibc
package import WeftNet

/// Takes a port of this host, at one address or at all its addresses of both families, so that no other process gets it. Nothing is accepted
/// by it: it does not listen, and what asks for the port is answered as where nobody does.
package final class PortHold: Sendable {
    private let socket: OwnedDescriptor

    private init(_ socket: consuming OwnedDescriptor) { self.socket = socket }

    /// Nil if another has the port.
    ///
    /// - Parameters:
    ///   - address: nil: all of them. The host need not have it yet.
    ///   - number: `IPPROTO_TCP`, `IPPROTO_UDP` or `IPPROTO_SCTP`.
    package static func take(
        _ port: UInt16, at address: IPAddress? = nil, protocol number: Int32, in namespace: NetworkNamespace = .current
    ) throws -> PortHold? {
        try namespace.run {
            let kind = Int32((number == Int32(IPPROTO_UDP) ? SOCK_DGRAM : SOCK_STREAM).rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            if let address {
                let family = address.family == .v6 ? AF_INET6 : AF_INET
                let socket = OwnedDescriptor(owning: Glibc.socket(family, kind, number))
                guard socket.rawValue >= 0 else { throw SystemError.last("open a socket to hold port \(port)") }
                return try bound(socket, port, family, address)
            }
            let six = OwnedDescriptor(owning: Glibc.socket(AF_INET6, kind, number))
            if six.rawValue >= 0 { return try bound(six, port, AF_INET6) }
            // A host without IPv6.
            let four = OwnedDescriptor(owning: Glibc.socket(AF_INET, kind, number))
            guard four.rawValue >= 0 else { throw SystemError.last("open a socket to hold port \(port)") }
            return try bound(four, port, AF_INET)
        }
    }

    private static func bound(
        _ socket: consuming OwnedDescriptor, _ port: UInt16, _ family: Int32, _ address: IPAddress? = nil
    ) throws(SystemError) -> PortHold? {
        let descriptor = socket.rawValue
        // Whatever net.ipv6.bindv6only says: of both families, where it is for all addresses.
        var (off, on): (Int32, Int32) = (0, 1)
        let size = socklen_t(MemoryLayout<Int32>.size)
        if family == AF_INET6, address == nil { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, size) }
        if address != nil {
            if family == AF_INET6 {
                setsockopt(descriptor, Int32(IPPROTO_IPV6), freeBindSix, &on, size)
            } else {
                setsockopt(descriptor, Int32(IPPROTO_IP), IP_FREEBIND, &on, size)
            }
        }
        let result = family == AF_INET6 ? bindSix(descriptor, port, address?.v6) : bindFour(descriptor, port, address?.v4)
        if result == 0 { return PortHold(socket) }
        guard errno == EADDRINUSE else { throw .last("hold port \(port)") }
        return nil
    }

    /// IPV6_FREEBIND (linux/in6.h), which the C library's headers lack.
    private static let freeBindSix: Int32 = 78

    private static func bindSix(_ descriptor: Int32, _ port: UInt16, _ address: IPv6Address?) -> Int32 {
        var name = sockaddr_in6()
        name.sin6_family = sa_family_t(AF_INET6)
        name.sin6_port = port.bigEndian
        if let address { withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.octets) } }
        return withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }

    private static func bindFour(_ descriptor: Int32, _ port: UInt16, _ address: IPv4Address?) -> Int32 {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        if let address { name.sin_addr.s_addr = address.rawValue.bigEndian }
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
