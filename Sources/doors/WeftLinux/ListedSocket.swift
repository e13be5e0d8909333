internal import Glibc
package import WeftNet

/// Sockets of a namespace, as /proc/net lists them.
package struct ListedSocket: Hashable, Sendable {
    package let address: IPAddress
    package let port: UInt16
    /// TCP that listens, or UDP that hears anybody.
    package let isOpen: Bool
    package let inode: UInt64

    /// Those of a protocol, of both families. What the kernel does not list has none.
    package static func all(protocol number: Int32, in namespace: NetworkNamespace = .current) throws -> [ListedSocket] {
        try namespace.run { try all(protocol: number, under: "/proc/thread-self") ?? [] }
    }

    /// Those of TCP in the network namespace in which a process is; nil: there is no such process.
    package static func tcp(ofProcess process: Int) throws(SystemError) -> [ListedSocket]? {
        try all(protocol: Int32(IPPROTO_TCP), under: "/proc/\(process)")
    }

    /// Those of UDP there.
    package static func udp(ofProcess process: Int) throws(SystemError) -> [ListedSocket]? {
        try all(protocol: Int32(IPPROTO_UDP), under: "/proc/\(process)")
    }

    private static func all(protocol number: Int32, under directory: String) throws(SystemError) -> [ListedSocket]? {
        let name = number == Int32(IPPROTO_UDP) ? "udp" : number == Int32(IPPROTO_TCP) ? "tcp" : nil
        guard let name else { return [] }
        guard let four = try FileSystem.contents("\(directory)/net/\(name)") else { return nil }
        // A kernel without IPv6 has none.
        let six = try FileSystem.contents("\(directory)/net/\(name)6") ?? []
        return [four, six].flatMap { all(inTable: String(decoding: $0, as: UTF8.self)) }
    }

    package static func all(inTable text: String) -> [ListedSocket] {
        text.split(separator: "\n").dropFirst().compactMap { ListedSocket(line: $0) }
    }

    /// `sl local_address rem_address st … inode`.
    private init?(line: Substring) {
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
