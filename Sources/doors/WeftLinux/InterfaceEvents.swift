internal import CLinux
internal import Dispatch
internal import Glibc

/// Tells that interfaces or addresses of a namespace have changed, as it happens, on a queue of its own, for as long as it lives.
package final class InterfaceEvents: @unchecked Sendable {
    /// RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR.
    private static let groups: [Int32] = [1, 5, 9]
    /// Only made and cancelled, which any thread may do.
    private let source: any DispatchSourceRead

    /// `body` is called after each change, for several at once if they come while it works.
    package init(in namespace: NetworkNamespace = .current, _ body: @escaping @Sendable () -> Void) throws {
        let events = try namespace.run { () throws -> Int32 in
            let socket = OwnedDescriptor(owning: clx_netlink_open(Int32(CLX_NETLINK_ROUTE)))
            guard socket.rawValue >= 0 else { throw SystemError.last("open a netlink socket") }
            for var group in Self.groups {
                // NETLINK_ADD_MEMBERSHIP of SOL_NETLINK.
                guard setsockopt(socket.rawValue, 270, 1, &group, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
                    throw SystemError.last("follow the host's interfaces")
                }
            }
            return socket.release()
        }
        source = DispatchSource.makeReadSource(
            fileDescriptor: events, queue: DispatchQueue(label: "weft.interfaces", qos: .utility))
        source.setEventHandler {
            var buffer = [UInt8](repeating: 0, count: 65536)
            // What the kernel could not keep for want of room (ENOBUFS) is a change as well.
            while recv(events, &buffer, buffer.count, Int32(MSG_DONTWAIT)) > 0 {}
            body()
            // A storm of changes is followed in steps.
            usleep(20_000)
        }
        source.setCancelHandler { close(events) }
        source.activate()
    }

    deinit { source.cancel() }
}
