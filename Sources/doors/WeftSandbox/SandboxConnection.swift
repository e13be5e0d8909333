import CSandbox
import Glibc
package import WeftSandboxWire

/// A blocking connection to a supervisor.
package final class SandboxConnection {
    package let fd: Int32
    /// The sandbox's id, for what is said of it.
    private let sandbox: String
    /// What has been read beyond the last message.
    private var buffer = ShimMessage.Buffer()

    /// - Parameter limit: how long the supervisor may take with each message.
    init(fd: Int32, sandbox: String, limit: Duration) {
        self.fd = fd
        self.sandbox = sandbox
        csb_limit(fd, Self.milliseconds(limit))
    }

    /// Connects to `<sandbox directory>/shim.sock`.
    ///
    /// - Parameter limit: how long the supervisor may take with each message; nil: for ever.
    /// - Throws: `SandboxError.notRunning` when nobody listens there, `.silent` when nobody answers.
    package init(socket: String, limit: Duration? = nil) throws(SandboxError) {
        let name = String(socket.split(separator: "/").dropLast().last ?? "?")
        sandbox = name
        let result = csb_connect(socket, limit.map(Self.milliseconds) ?? 0)
        if result == -ENOENT || result == -ECONNREFUSED { throw .notRunning(name) }
        // Connections that it has not taken fill its queue.
        if result == -EAGAIN { throw .silent(name) }
        guard result >= 0 else { throw .system("cannot connect to \(socket)", errno: -result) }
        fd = result
    }

    private static func milliseconds(_ limit: Duration) -> Int32 { Int32(clamping: max(1, Int64(limit / .milliseconds(1)))) }

    deinit { close(fd) }

    package func send(_ message: ShimMessage) throws(SandboxError) {
        var rest = message.encoded()[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { csb_send(fd, $0.baseAddress, $0.count) }
            if count == -Int(EINTR) { continue }
            if count == -Int(EAGAIN) { throw .silent(sandbox) }
            guard count > 0 else { throw .connectionLost }
            rest = rest.dropFirst(count)
        }
    }

    /// The next message, or nil at the end of the connection.
    package func receive() throws(SandboxError) -> ShimMessage? {
        while true {
            if let message = try buffered() { return message }
            guard try fill() else { return nil }
        }
    }

    /// A message that has arrived already.
    func buffered() throws(SandboxError) -> ShimMessage? {
        do {
            return try buffer.next()
        } catch {
            throw .refused(code: 125, reason: "the sandbox's supervisor sent \(error)")
        }
    }

    /// Reads once, which may block. False at the end of the connection.
    func fill() throws(SandboxError) -> Bool {
        while true {
            var count = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 64 << 10) { space, used in
                count = read(fd, space.baseAddress, space.count)
                used = max(count, 0)
            }
            if count > 0 {
                buffer.append(bytes)
                return true
            }
            // A reset is an end too: the supervisor went while something was on its way to it.
            if count == 0 || errno == ECONNRESET { return false }
            if errno == EAGAIN { throw .silent(sandbox) }
            guard errno == EINTR else { throw .system("cannot read from the sandbox's supervisor", errno: errno) }
        }
    }

    /// Waits for the answer to a request.
    func expectAccepted() throws(SandboxError) {
        switch try receive() {
        case .accepted: return
        case .failed(let code, let reason): throw .refused(code: code, reason: reason)
        default: throw .connectionLost
        }
    }
}
