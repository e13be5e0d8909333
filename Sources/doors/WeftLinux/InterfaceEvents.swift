internal import CLinux
internal import Glibc

/// Tells that interfaces or addresses of a namespace have changed, as it happens, on a thread of its own, for as long as it lives.
package final class InterfaceEvents: Sendable {
    /// RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR.
    private static let groups: [Int32] = [1, 5, 9]
    private let end: OwnedDescriptor

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
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            close(events)
            throw SystemError.last("open a pipe")
        }
        end = OwnedDescriptor(owning: ends[1])
        for descriptor in ends { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let ended = ends[0]
        try startThread {
            Self.follow(OwnedDescriptor(owning: events), until: OwnedDescriptor(owning: ended), body)
        }
    }

    private static func follow(
        _ events: consuming OwnedDescriptor, until ended: consuming OwnedDescriptor, _ body: () -> Void
    ) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            var waiting = [
                pollfd(fd: events.rawValue, events: Int16(POLLIN), revents: 0),
                pollfd(fd: ended.rawValue, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&waiting, 2, -1)
            if count < 0, errno == EINTR { continue }
            guard count >= 0, waiting[1].revents == 0 else { return }
            // What the kernel could not keep for want of room (ENOBUFS) is a change as well.
            while recv(events.rawValue, &buffer, buffer.count, Int32(MSG_DONTWAIT)) > 0 {}
            body()
            // A storm of changes is followed in steps.
            usleep(20_000)
        }
    }
}

/// Starts a thread that nobody waits for.
private func startThread(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
    final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let work = Unmanaged.passRetained(Work(body))
    let code = pthread_create(
        &thread, nil,
        { argument in
            if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, work.toOpaque())
    guard code == 0 else {
        work.release()
        throw SystemError("start a thread", code: code)
    }
    pthread_detach(thread)
}
