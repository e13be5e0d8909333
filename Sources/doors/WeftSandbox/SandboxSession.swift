import CSandbox
import Glibc
import WeftSandboxWire

/// A person's, or a script's, conversation with a process in a sandbox, over this process's standard input and
/// output. Blocking; one at a time in a process, because it sets signal handlers and the terminal's mode.
package enum SandboxSession {
    /// Connects to the sandbox's own process.
    ///
    /// - Parameters:
    ///   - socket: `SandboxDirectory.socket`.
    ///   - terminal: whether the sandbox has a terminal (`SandboxSpec.terminal`).
    ///   - stdin: whether this process's input goes to the sandbox.
    ///   - onAttached: called once no output can be missed any more: the place to start the sandbox.
    /// - Returns: the process's exit code; 0 after the detach keys (ctrl-p ctrl-q); 128 + the number of a
    ///   signal that ended this side only.
    package static func attach(
        socket: String, terminal: Bool, stdin: Bool, onAttached: () throws -> Void
    ) throws -> Int32 {
        let connection = try SandboxConnection(socket: socket)
        try connection.send(.attach(input: stdin))
        try connection.expectAccepted()
        let relay = Relay(connection, socket: socket, terminal: terminal, input: stdin, isExec: false)
        return try relay.run(before: onAttached)
    }

    /// Runs another command in the sandbox, in the sandbox's environment with `environment` on top.
    ///
    /// - Parameter detach: return as soon as the command runs, with 0.
    /// - Returns: the command's exit code.
    /// - Throws: `SandboxError.refused` with code 126 or 127 when it cannot be run.
    package static func exec(
        socket: String, command: [String], environment: [String], workingDirectory: String?, terminal: Bool,
        stdin: Bool, detach: Bool
    ) throws -> Int32 {
        let directory = SandboxDirectory(socket: socket)
        guard let spec = directory.load()?.spec else { throw SandboxError.notFound(directory.path) }
        if command.isEmpty { throw SandboxError.invalidSpec("exec needs a command to run") }
        let connection = try SandboxConnection(socket: socket)
        var request = ProcessRequest(
            command: command, environment: spec.completeEnvironment(adding: environment, terminal: terminal),
            workingDirectory: workingDirectory ?? spec.workingDirectory ?? "/", terminal: terminal, openInput: stdin)
        if terminal, let size = Relay.size() { request.size = size }
        try connection.send(.exec(request, detached: detach))
        try connection.expectAccepted()
        if detach { return 0 }
        let relay = Relay(connection, socket: socket, terminal: terminal, input: stdin, isExec: true)
        return try relay.run {}
    }
}

/// The poll loop between standard input, standard output, signals and a supervisor.
private final class Relay {
    private static let queueSizeMax = 64 << 10

    private let connection: SandboxConnection
    private let socket: String
    private let terminal: Bool
    private let isExec: Bool
    /// Whether this side's terminal is in raw mode: then ctrl-c is input, not a signal.
    private let isRaw: Bool
    private var inputOpen: Bool
    private var detachKeys = DetachKeys()
    /// What the socket has not taken yet. Never blocks on it: the supervisor may itself wait until its
    /// output to us has been read.
    private var queue: [UInt8] = []

    init(_ connection: SandboxConnection, socket: String, terminal: Bool, input: Bool, isExec: Bool) {
        self.connection = connection
        self.socket = socket
        self.terminal = terminal
        self.isExec = isExec
        inputOpen = input
        isRaw = terminal && input && isatty(0) == 1
    }

    static func size() -> TerminalSize? {
        var size = TerminalSize(rows: 0, columns: 0)
        for fd: Int32 in [0, 1, 2] where csb_get_size(fd, &size.rows, &size.columns) == 0 { return size }
        return nil
    }

    func run(before: () throws -> Void) throws -> Int32 {
        let signals = csb_signal_pipe([SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH], 7)
        guard signals >= 0 else { throw SandboxError.system("cannot set signal handlers", errno: -signals) }
        defer { csb_signal_pipe_close() }
        if terminal, !isExec, let size = Self.size() { queue += ShimMessage.resize(size).encoded() }
        _ = csb_set_nonblocking(connection.fd, true)
        try flush()
        try before()
        if isRaw {
            let error = csb_raw_terminal(0)
            guard error == 0 else { throw SandboxError.system("cannot set up the terminal", errno: -error) }
        }
        defer { csb_restore_terminal() }
        while true {
            if let code = try receive() { return code }
            let wantsInput = inputOpen && queue.count < Self.queueSizeMax
            var polls = [
                pollfd(fd: connection.fd, events: Int16(queue.isEmpty ? POLLIN : POLLIN | POLLOUT), revents: 0),
                pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wantsInput ? 0 : -1, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&polls, 3, -1) > 0 else { continue }
            if polls[0].revents & Int16(POLLOUT) != 0 { try flush() }
            if polls[1].revents != 0, let code = handleSignals(signals) { return code }
            if polls[2].revents != 0, let code = readInput() { return code }
            try flush()
            if polls[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0, try !connection.fill() {
                if let code = try receive() { return code }
                return try codeAfterEnd()
            }
        }
    }

    /// Handles what has arrived. Returns the exit code when it is there.
    private func receive() throws -> Int32? {
        while let message = try connection.buffered() {
            switch message {
            case .output(let bytes): try Self.writeAll(1, bytes)
            case .errorOutput(let bytes): try Self.writeAll(2, bytes)
            case .exited(let code): return code
            case .failed(let code, let reason): throw SandboxError.refused(code: code, reason: reason)
            case .accepted: break
            default: throw SandboxError.connectionLost
            }
        }
        return nil
    }

    private func codeAfterEnd() throws -> Int32 {
        let state = SandboxDirectory(socket: socket).state()
        guard !isExec, state?.status == .exited, let code = state?.exitCode else { throw SandboxError.connectionLost }
        return code
    }

    private func readInput() -> Int32? {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        let count = read(0, &buffer, buffer.count)
        if count < 0 && (errno == EINTR || errno == EAGAIN) { return nil }
        guard count > 0 else {
            inputOpen = false
            queue += ShimMessage.inputEnd.encoded()
            return nil
        }
        guard terminal else {
            queue += ShimMessage.input(Array(buffer[..<count])).encoded()
            return nil
        }
        let (bytes, isDetached) = detachKeys.filter(buffer[..<count])
        if !bytes.isEmpty { queue += ShimMessage.input(bytes).encoded() }
        guard isDetached else { return nil }
        return leave(with: 0, note: "read escape sequence\r\n")
    }

    private func leave(with code: Int32, note: String) -> Int32 {
        queue += ShimMessage.detach.encoded()
        try? flush()
        try? Self.writeAll(2, Array(note.utf8))
        return code
    }

    private func handleSignals(_ pipe: Int32) -> Int32? {
        var numbers = [UInt8](repeating: 0, count: 64)
        let count = read(pipe, &numbers, numbers.count)
        for number in numbers.prefix(max(count, 0)) {
            if Int32(number) == SIGWINCH {
                if terminal, let size = Self.size() { queue += ShimMessage.resize(size).encoded() }
            } else if isRaw {
                // Meant for this process: its own keyboard signals do not arise in raw mode.
                return leave(with: 128 + Int32(number), note: "")
            } else if isExec {
                queue += ShimMessage.signal(number).encoded()
            } else {
                // Not behind input that the process may never read.
                try? SandboxControl.signal(SandboxDirectory(socket: socket), number)
            }
        }
        return nil
    }

    private func flush() throws {
        while !queue.isEmpty {
            let count = queue.withUnsafeBytes { csb_send(connection.fd, $0.baseAddress, $0.count) }
            if count == -Int(EINTR) { continue }
            if count == -Int(EAGAIN) { return }
            guard count > 0 else {
                queue = []  // the end shows on the next read, after the last output
                inputOpen = false
                return
            }
            queue.removeFirst(count)
        }
    }

    private static func writeAll(_ fd: Int32, _ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                var wait = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
                _ = poll(&wait, 1, -1)
            } else if errno != EINTR {
                throw SandboxError.system("cannot write the output", errno: errno)
            }
        }
    }
}

/// Looks for ctrl-p ctrl-q among what is typed.
struct DetachKeys {
    private var sawFirst = false

    /// What is to be passed on, and whether the keys were typed.
    mutating func filter(_ typed: ArraySlice<UInt8>) -> (bytes: [UInt8], isDetached: Bool) {
        var bytes: [UInt8] = []
        for byte in typed {
            if sawFirst {
                sawFirst = false
                if byte == 0x11 { return (bytes, true) }
                bytes.append(0x10)
            }
            if byte == 0x10 { sawFirst = true } else { bytes.append(byte) }
        }
        return (bytes, false)
    }
}

extension SandboxDirectory {
    /// The directory of a supervisor's socket.
    package init(socket: String) {
        let end = socket.lastIndex(of: "/") ?? socket.startIndex
        self.init(path: String(socket[..<end]))
    }
}
