// What weftd does with the process that encrypts (`weft-tunnel`): starts it so that it outlives weftd, takes up the one that runs, tells it
// keys, learns of its end, ends it. It links no libcrypto, and knows nothing of whose keys they are. Calls block: have a thread for them.
internal import CLinux
internal import Glibc
package import WeftLinux
internal import WeftThreads
package import WeftTunnelWire

/// The tunnel's process of this node.
package struct TunnelProcess: Sendable {
    /// The path of weft-tunnel.
    private let executable: String
    /// What it is started with, without the executable.
    private let options: [String]
    /// The unix socket that it hears keys at.
    private let control: String
    /// Where its words go.
    private let log: String

    /// - Parameters:
    ///   - address: of this node on the underlay, dotted.
    ///   - innerPort: of VXLAN inside.
    package init(
        executable: String, runDirectory: String, device: String, address: String, port: UInt16, innerPort: UInt16, queues: Int
    ) {
        self.init(
            executable: executable, control: Self.control(in: runDirectory), log: "\(runDirectory)/tunnel.log",
            options: [
                "--device", device, "--address", address, "--port", "\(port)", "--inner-port", "\(innerPort)", "--queues", "\(queues)",
                "--frames", "\(TunnelFrames.form)",
            ])
    }

    init(executable: String, control: String, log: String, options: [String]) {
        self.executable = executable
        self.control = control
        self.log = log
        self.options = options + ["--control", control]
    }

    private static func control(in runDirectory: String) -> String { "\(runDirectory)/tunnel.sock" }

    /// How long a new process has until it listens.
    private static let patience = Duration.seconds(5)

    /// Takes up the process that runs, if it was started as this one would be, else starts one.
    package func open() throws(SystemError) -> TunnelConnection {
        if let running = try Self.connect(control) {
            if running.arguments.dropFirst() == options[...] { return running }
            try Self.end(running, control: control)
        }
        try start()
        let deadline = ContinuousClock.now + Self.patience
        while ContinuousClock.now < deadline {
            // In this order: it may end with its words about it.
            let hasEnded = !isHeld
            if let connection = try Self.connect(control) { return connection }
            if hasEnded { break }
            usleep(2_000)
        }
        // Nobody may come to it later with keys that another process has as well.
        if let late = try Self.connect(control) { try Self.end(late, control: control) }
        let text = ((try? FileSystem.readText(log)) ?? "").split(separator: "\n").last.map(String.init)
        throw SystemError("start \(executable)", code: 0, detail: text ?? "it does not listen at \(control)")
    }

    /// It holds the lock of the file that its words go to, for as long as it lives.
    private func start() throws(SystemError) {
        let words = try OwnedDescriptor(opening: log, flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, mode: 0o600)
        // The lock is the open file's, and so the process's when it is not this one's any more.
        flock(words.rawValue, LOCK_EX | LOCK_NB)
        var arguments = ([executable] + options).map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        let failed = clx_spawn_apart(&arguments, words.rawValue)
        guard failed == 0 else { throw SystemError("start \(executable)", code: failed) }
    }

    private var isHeld: Bool {
        guard let words = try? OwnedDescriptor(opening: log, flags: O_RDONLY) else { return false }
        return flock(words.rawValue, LOCK_EX | LOCK_NB) != 0
    }

    /// Ends the process, and returns when it is gone. There need not be one.
    package func end() throws(SystemError) { try Self.end(at: control) }

    /// The same by the run directory alone.
    package static func end(runDirectory: String) throws(SystemError) { try end(at: control(in: runDirectory)) }

    private static func end(at control: String) throws(SystemError) {
        if let running = try connect(control) { try end(running, control: control) }
    }

    private static func end(_ running: TunnelConnection, control: String) throws(SystemError) {
        guard running.process > 0 else { throw SystemError("end weft-tunnel", code: ESRCH) }
        // It keeps nothing that it would have to write down.
        guard kill(running.process, SIGKILL) == 0 || errno == ESRCH else { throw .last("end weft-tunnel (process \(running.process))") }
        running.waitForEnd()
        unlink(control)
    }

    /// Nil: nobody listens.
    private static func connect(_ path: String) throws(SystemError) -> TunnelConnection? {
        let descriptor = clx_connect_messages(path, TunnelConnection.limitMilliseconds)
        if descriptor >= 0 { return TunnelConnection(OwnedDescriptor(owning: descriptor)) }
        if errno == ENOENT || errno == ECONNREFUSED { return nil }
        throw .last("connect to weft-tunnel at \(path)")
    }
}

/// A connection to the tunnel's process, for one who asks at a time.
package final class TunnelConnection: Sendable {
    private let descriptor: OwnedDescriptor
    /// Its number.
    package let process: Int32
    private let waiting = BlockingExecutor()

    /// A process that takes longer hangs.
    static let limitMilliseconds: Int32 = 3_000

    init(_ descriptor: consuming OwnedDescriptor) {
        process = clx_peer_process(descriptor.rawValue)
        self.descriptor = descriptor
    }

    /// What the process was started with.
    var arguments: [String] {
        ((try? FileSystem.readText("/proc/\(process)/cmdline")) ?? "").split(separator: "\0", omittingEmptySubsequences: false).map(
            String.init
        ).dropLast()
    }

    /// Throws when the process is gone or hangs: what became of the request is not known then.
    package func ask(_ request: TunnelRequest) throws(SystemError) -> TunnelReply {
        var bytes = request.encoded()
        defer { bytes.withUnsafeMutableBytes { clx_wipe($0.baseAddress, $0.count) } }
        guard send(descriptor.rawValue, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { throw .last("ask weft-tunnel") }
        let size =
            switch request {
            case .status, .probes: TunnelReply.sizeMax
            case .send, .receive, .refuse, .probe: 2048
            }
        var reply = [UInt8](repeating: 0, count: size)
        var count: Int
        repeat { count = recv(descriptor.rawValue, &reply, reply.count, 0) } while count < 0 && errno == EINTR
        guard count >= 0 else { throw .last("hear weft-tunnel") }
        guard count > 0 else { throw SystemError("hear weft-tunnel", code: ECONNRESET) }
        do throws(TunnelMessageError) { return try TunnelReply(reply[..<count]) } catch {
            throw SystemError("understand weft-tunnel", code: 0, detail: "\(error)")
        }
    }

    fileprivate func waitForEnd() { _ = clx_wait_for_end(descriptor.rawValue) }

    /// Returns when the process is gone, or after `close`.
    @concurrent package func ended() async { await withTaskExecutorPreference(waiting) { waitForEnd() } }

    /// Nothing is asked any more; the process goes on.
    package func close() { shutdown(descriptor.rawValue, Int32(SHUT_RDWR)) }
}
