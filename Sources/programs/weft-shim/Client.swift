import CSandbox
import Glibc
import WeftSandboxWire

/// One connection to the supervisor's socket.
final class Client {
    enum Role {
        case new
        case attached(input: Bool)
        case executing(RunningProcess)
        case waiting
    }

    let fd: Int32
    var role = Role.new
    var buffer = ShimMessage.Buffer()
    /// Closed as soon as everything has been sent.
    var isFinishing = false
    private(set) var isClosed = false
    private var pending: [UInt8] = []
    private var pendingStart = 0

    init(fd: Int32) { self.fd = fd }

    var pendingSize: Int { pending.count - pendingStart }
    var hasPending: Bool { pendingSize > 0 }

    func receives(_ process: RunningProcess, main: RunningProcess) -> Bool {
        switch role {
        case .attached: process === main
        case .executing(let command): process === command
        case .new, .waiting: false
        }
    }

    func isExecuting(_ command: RunningProcess) -> Bool {
        if case .executing(let own) = role { own === command } else { false }
    }

    var isInterestedInEnd: Bool {
        switch role {
        case .attached, .waiting: true
        case .executing, .new: false
        }
    }

    func send(_ message: ShimMessage) { send(encoded: message.encoded()) }

    func send(encoded: [UInt8]) {
        guard !isClosed else { return }
        pending += encoded
        flush()
    }

    /// Sends what the socket takes now.
    func flush() {
        while hasPending {
            let count = pending.withUnsafeBytes { csb_send(fd, $0.baseAddress.map { $0 + pendingStart }, pendingSize) }
            if count == -Int(EINTR) { continue }
            if count == -Int(EAGAIN) { break }
            guard count > 0 else {
                // The reader is gone; its end shows on the next read.
                pending = []
                pendingStart = 0
                return
            }
            pendingStart += count
        }
        if !hasPending {
            pending.removeAll(keepingCapacity: pending.capacity <= 1 << 16)
            pendingStart = 0
        } else if pendingStart > 1 << 16 {
            pending.removeFirst(pendingStart)
            pendingStart = 0
        }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        pending = []
        pendingStart = 0
        _ = Glibc.close(fd)
    }
}
