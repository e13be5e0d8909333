internal import Glibc
package import WeftNet

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

/// Sockets of a namespace, as /proc/net lists them.
package struct ListedSocket: Hashable, Sendable {
    package let address: IPAddress
    package let port: UInt16
    /// TCP that listens, or UDP that hears anybody.
    package let isOpen: Bool
    package let inode: UInt64

    /// Those of a protocol, of both families. What the kernel does not list has none.
    package static func all(protocol number: Int32, in namespace: NetworkNamespace = .current) throws -> [ListedSocket] {
        let name = number == Int32(IPPROTO_UDP) ? "udp" : number == Int32(IPPROTO_TCP) ? "tcp" : nil
        guard let name else { return [] }
        return try namespace.run {
            try [name, "\(name)6"].flatMap { table -> [ListedSocket] in
                guard let text = try FileSystem.contents("/proc/thread-self/net/\(table)") else { return [] }
                return String(decoding: text, as: UTF8.self).split(separator: "\n").dropFirst().compactMap { ListedSocket(line: $0) }
            }
        }
    }

    /// `sl local_address rem_address st … inode`.
    package init?(line: Substring) {
        let fields = line.split(separator: " ", omittingEmptySubsequences: true)
        guard fields.count > 9, let inode = UInt64(fields[9]) else { return nil }
        let local = fields[1].split(separator: ":")
        guard local.count == 2, let port = UInt16(local[1], radix: 16), let address = Self.address(local[0]) else { return nil }
        self.address = address
        self.port = port
        self.inode = inode
        isOpen = fields[3] == "0A" || fields[3] == "07"
    }

    /// Words of 32 bits in the host's order, each as the kernel holds it.
    private static func address(_ digits: Substring) -> IPAddress? {
        let words = stride(from: 0, to: digits.count, by: 8).compactMap { offset in
            UInt32(digits.dropFirst(offset).prefix(8), radix: 16).map { UInt32(bigEndian: $0) }
        }
        switch (digits.count, words.count) {
        case (8, 1): return .v4(IPv4Address(rawValue: words[0]))
        case (32, 4): return .v6(IPv6Address(rawValue: words.reduce(0) { $0 << 32 | UInt128($1) }))
        default: return nil
        }
    }

    /// The process that has it, `name (process 123)`; nil if that is not to be seen.
    package var holder: String? {
        let target = "socket:[\(inode)]"
        for process in (try? FileSystem.list("/proc")) ?? [] where process.allSatisfy(\.isNumber) {
            let descriptors = "/proc/\(process)/fd"
            let has = ((try? FileSystem.list(descriptors)) ?? []).contains {
                (try? FileSystem.readLink("\(descriptors)/\($0)")) == target
            }
            guard has else { continue }
            let name = (try? FileSystem.readText("/proc/\(process)/comm"))?.split(separator: "\n").first.map(String.init)
            return "\(name ?? "a program") (process \(process))"
        }
        return nil
    }
}
