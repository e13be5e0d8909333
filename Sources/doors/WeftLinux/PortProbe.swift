internal import Glibc
package import WeftNet

/// Finds out whether a port of this host is free, by taking it for a moment.
package enum PortProbe {
    /// - Parameter protocol: `IPPROTO_TCP`, `IPPROTO_UDP` or `IPPROTO_SCTP`.
    package static func isFree(_ port: UInt16, at address: IPv4Address, protocol number: Int32) throws(SystemError) -> Bool {
        let kind = number == Int32(IPPROTO_UDP) ? Int32(SOCK_DGRAM.rawValue) : Int32(SOCK_STREAM.rawValue)
        let probe = OwnedDescriptor(owning: socket(AF_INET, kind | Int32(SOCK_CLOEXEC.rawValue), number))
        guard probe.rawValue >= 0 else {
            // Nobody listens by a protocol that the kernel has not.
            if errno == EPROTONOSUPPORT { return true }
            throw .last("open a socket")
        }
        // Connections that are just ending hold no port.
        var on: Int32 = 1
        if number == Int32(IPPROTO_TCP) {
            setsockopt(probe.rawValue, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.rawValue.bigEndian
        let result = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(probe.rawValue, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result == 0 { return true }
        guard errno == EADDRINUSE else { throw .last("bind \(address):\(port)") }
        return false
    }
}
