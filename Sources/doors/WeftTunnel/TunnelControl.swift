internal import CTunnel
internal import Glibc
package import WeftLinux
package import WeftTunnelWire

/// Where a tunnel is told its keys.
package struct TunnelControl: ~Copyable {
    private let listener: OwnedDescriptor
    private var connections: [Int32] = []

    /// More are not heard at once: weftd, its successor, and somebody who looks.
    private static let connectionsMax = 8

    /// - Parameter path: of a unix socket for root alone; one that is there is replaced.
    package init(path: String) throws(SystemError) {
        let socket = ctn_control_listen(path)
        guard socket >= 0 else { throw .last("listen at \(path)") }
        listener = OwnedDescriptor(owning: socket)
    }

    deinit { for connection in connections { close(connection) } }

    /// Answers requests, one at a time, for as long as the process lives.
    package mutating func run(_ answer: (TunnelRequest) -> TunnelReply) throws(SystemError) {
        while true {
            var sources = [pollfd(fd: connections.count < Self.connectionsMax ? listener.rawValue : -1, events: Int16(POLLIN), revents: 0)]
            sources += connections.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&sources, nfds_t(sources.count), -1) >= 0 else {
                if errno == EINTR { continue }
                throw .last("wait for requests")
            }
            for source in sources.dropFirst() where source.revents != 0 && !serve(source.fd, answer) {
                close(source.fd)
                connections.removeAll { $0 == source.fd }
            }
            if sources[0].revents != 0 {
                let connection = ctn_control_accept(listener.rawValue)
                if connection >= 0 { connections.append(connection) }
            }
        }
    }

    /// One request; false when the connection is over.
    private func serve(_ connection: Int32, _ answer: (TunnelRequest) -> TunnelReply) -> Bool {
        var bytes = [UInt8](repeating: 0, count: TunnelRequest.sizeMax)
        let count = recv(connection, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) }
        defer { bytes.withUnsafeMutableBytes { ctn_wipe($0.baseAddress, $0.count) } }
        let reply: TunnelReply
        do throws(TunnelMessageError) { reply = answer(try TunnelRequest(bytes[..<count])) } catch { reply = .refused("\(error)") }
        let encoded = reply.encoded()
        return send(connection, encoded, encoded.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) == encoded.count
    }
}
