import CSandbox
import Glibc
import WeftSandboxWire

/// The supervisor's poll loop: one sandbox's process, the commands run beside it, and the clients.
final class Supervisor {
    /// Pending bytes for one client above which the process has to wait, and pending input above which the
    /// client has to.
    static let pendingSizeMax = 256 << 10
    /// How long clients may take to fetch the last output once the sandbox has ended.
    static let farewellMilliseconds: Int32 = 2000

    private enum Source {
        case children
        case listener
        case client(Client)
        case input(RunningProcess)
        case output(RunningProcess, LogFrame.Stream)
    }

    private let directory: String
    private let confinement: Confinement
    private let listener: Int32
    private let children: Int32
    private var state: StateFile
    private var log: OutputLog
    private let process: RunningProcess
    /// The socket on which the first process waits to be let go; -1 once it has been.
    private var control: Int32
    private var startFailure: (code: Int32, reason: String)?
    private var size: TerminalSize
    private var commands: [RunningProcess] = []
    private var clients: [Client] = []
    private var hasEnded = false

    private init(request: LaunchRequest) throws(SupervisorError) {
        guard !request.process.command.isEmpty else { throw SupervisorError("no command given", 0) }
        directory = request.directory
        confinement = request.confinement
        children = csb_child_signals()
        guard children >= 0 else { throw SupervisorError("cannot receive signals", -children) }
        log = OutputLog(directory: request.directory)
        let pipes = try ProcessPipes(request.process)
        var pid: pid_t = 0
        var control: Int32 = -1
        let error = request.withLayout { layout in
            request.process.withProcess(stdio: pipes.inner, confinement: request.confinement, hasInit: request.hasInit) {
                csb_create(layout, $0, &pid, &control)
            }
        }
        pipes.closeInner()
        guard error == 0 else { throw SupervisorError("cannot make the namespaces", -error) }
        self.control = control
        size = request.process.size
        process = RunningProcess(pid: pid, pipes: pipes, terminal: request.process.terminal)
        state = StateFile(directory: request.directory, pid: pid)
        listener = csb_listen(request.directory, "shim.sock")
        guard listener >= 0 else {
            _ = csb_kill(pid, SIGKILL)
            throw SupervisorError("cannot listen on \(request.directory)/shim.sock", -listener)
        }
        let written = state.write()
        guard written == 0 else {
            _ = csb_kill(pid, SIGKILL)
            throw SupervisorError("cannot write \(request.directory)/state.json", written)
        }
    }

    /// Takes the order from the launcher, makes the sandbox, and serves it until its end.
    static func main(launcher: Int32) -> Never {
        var buffer = ShimMessage.Buffer()
        do {
            while true {
                if let message = try buffer.next() {
                    guard case .launch(let request) = message else { exit(64) }
                    let supervisor = try Supervisor(request: request)
                    _ = sendAll(launcher, ShimMessage.created(pid: supervisor.process.pid).encoded())
                    close(launcher)
                    supervisor.serve()
                    exit(0)
                }
                guard let bytes = readSome(launcher).bytes else { exit(70) }
                buffer.append(bytes)
            }
        } catch {
            _ = sendAll(launcher, ShimMessage.failed(code: 125, reason: "\(error)").encoded())
            exit(71)
        }
    }

    // MARK: - The loop

    /// Serves until the sandbox has ended. It returns then: with `Never` here and in `end`, the optimizer of
    /// Swift 6.3.1 runs for ever.
    private func serve() {
        while !hasEnded {
            var sources: [Source] = [.children, .listener]
            var polls = [pollfd(fd: children, events: Int16(POLLIN), revents: 0)]
            polls.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0))
            for client in clients {
                sources.append(.client(client))
                var events = client.hasPending ? Int16(POLLOUT) : 0
                if !isInputFull(of: client) { events |= Int16(POLLIN) }
                polls.append(pollfd(fd: client.fd, events: events, revents: 0))
            }
            for process in [process] + commands {
                if process.wantsToWrite {
                    sources.append(.input(process))
                    polls.append(pollfd(fd: process.inputFD, events: Int16(POLLOUT), revents: 0))
                }
                guard !isOutputBlocked(of: process) else { continue }
                if process.outputFD >= 0 {
                    sources.append(.output(process, .output))
                    polls.append(pollfd(fd: process.outputFD, events: Int16(POLLIN), revents: 0))
                }
                if process.errorFD >= 0 {
                    sources.append(.output(process, .errorOutput))
                    polls.append(pollfd(fd: process.errorFD, events: Int16(POLLIN), revents: 0))
                }
            }
            guard poll(&polls, nfds_t(polls.count), -1) > 0 else { continue }
            for (source, poll) in zip(sources, polls) where poll.revents != 0 {
                switch source {
                case .children: break
                case .listener: accept()
                case .client(let client): serve(client, events: poll.revents)
                case .input(let process): process.writeInput()
                case .output(let process, let stream): forward(process, stream)
                }
            }
            // Last, so that what the loop held about a process is not used after it is gone.
            if polls[0].revents != 0 { reapChildren() }
            for client in clients where client.isFinishing && !client.hasPending { drop(client) }
            clients.removeAll { $0.isClosed }
        }
    }

    private func accept() {
        let fd = csb_accept(listener)
        guard fd >= 0 else { return }
        clients.append(Client(fd: fd))
    }

    private func serve(_ client: Client, events: Int16) {
        if events & Int16(POLLOUT) != 0 { client.flush() }
        guard events & Int16(POLLIN | POLLHUP | POLLERR) != 0, !client.isClosed else { return }
        let (bytes, isEnd) = readSome(client.fd)
        if let bytes {
            client.buffer.append(bytes)
            do {
                while !client.isClosed, let message = try client.buffer.next() { handle(message, from: client) }
            } catch {
                client.send(.failed(code: 125, reason: "\(error)"))
                client.isFinishing = true
            }
        } else if isEnd {
            drop(client)
        }
    }

    // MARK: - Clients

    private func handle(_ message: ShimMessage, from client: Client) {
        switch message {
        case .attach(let input):
            client.role = .attached(input: input)
            client.send(.accepted)
        case .exec(let request, let detached):
            exec(request, detached: detached, for: client)
        case .wait:
            client.role = .waiting
            client.send(.accepted)
        case .start:
            start(for: client)
        case .signal(let number):
            signal(number, from: client)
        case .input(let bytes):
            target(of: client)?.queueInput(bytes)
        case .inputEnd:
            target(of: client)?.endInput()
        case .resize(let newSize):
            if case .executing(let command) = client.role {
                command.resize(newSize)
            } else {
                size = newSize
                process.resize(newSize)
            }
        case .detach:
            client.role = .new
            client.isFinishing = true
        case .launch, .created, .accepted, .failed, .output, .errorOutput, .exited:
            client.send(.failed(code: 125, reason: "a message that only the supervisor sends"))
            client.isFinishing = true
        }
    }

    /// The process that gets a client's input.
    private func target(of client: Client) -> RunningProcess? {
        switch client.role {
        case .attached(input: true): process
        case .executing(let command): command
        case .attached(input: false), .waiting, .new: nil
        }
    }

    private func isInputFull(of client: Client) -> Bool {
        (target(of: client)?.inputSize ?? 0) > Self.pendingSizeMax
    }

    private func isOutputBlocked(of process: RunningProcess) -> Bool {
        clients.contains { $0.receives(process, main: self.process) && $0.pendingSize > Self.pendingSizeMax }
    }

    private func drop(_ client: Client) {
        guard !client.isClosed else { return }
        switch client.role {
        case .attached(input: true):
            // As an input that ends when its writer goes; a terminal stays for the next one.
            if !process.hasTerminal { process.endInput() }
        case .executing(let command):
            // Nobody can come back to it: hang up.
            command.closeAll()
        case .attached(input: false), .waiting, .new: break
        }
        client.close()
    }

    // MARK: - Processes

    private func start(for client: Client) {
        guard control >= 0 else {
            client.send(.failed(code: 125, reason: "the sandbox has been started already"))
            return
        }
        var outcome = csb_outcome()
        csb_start(control, size.rows, size.columns, &outcome)
        control = -1
        if outcome.code != 0 {
            let reason = outcome.reason
            startFailure = (outcome.code, reason)
            _ = csb_kill(process.pid, SIGKILL)
            client.send(.failed(code: outcome.code, reason: reason))
            return
        }
        if outcome.terminal >= 0 { process.adopt(terminal: outcome.terminal) }
        state.markRunning()
        client.send(.accepted)
    }

    private func exec(_ request: ProcessRequest, detached: Bool, for client: Client) {
        guard control < 0, startFailure == nil else {
            client.send(.failed(code: 126, reason: "the sandbox is not running"))
            client.isFinishing = true
            return
        }
        var request = request
        if detached {
            request.terminal = false
            request.openInput = false
        }
        do {
            guard !request.command.isEmpty else { throw SupervisorError("no command given", 0) }
            let pipes = detached ? try ProcessPipes.none() : try ProcessPipes(request)
            var pid: pid_t = 0
            var outcome = csb_outcome()
            let target = process.pid
            let error = request.withProcess(stdio: pipes.inner, confinement: confinement) { csb_exec(target, $0, &pid, &outcome) }
            pipes.closeInner()
            let command = RunningProcess(pid: pid, pipes: pipes, terminal: request.terminal)
            guard error == 0, outcome.code == 0 else {
                command.closeAll()
                if error != 0 { throw SupervisorError("cannot enter the sandbox", -error) }
                client.send(.failed(code: outcome.code, reason: outcome.reason))
                client.isFinishing = true
                return
            }
            if outcome.terminal >= 0 { command.adopt(terminal: outcome.terminal) }
            commands.append(command)
            client.send(.accepted)
            if detached { client.isFinishing = true } else { client.role = .executing(command) }
        } catch {
            client.send(.failed(code: 126, reason: "\(error)"))
            client.isFinishing = true
        }
    }

    private func signal(_ number: UInt8, from client: Client) {
        guard (1...64).contains(number) else {
            client.send(.failed(code: 125, reason: "there is no signal \(number)"))
            return
        }
        if case .executing(let command) = client.role {
            guard command.exitCode == nil else { return }
            // It leads a session of its own: what it has started ends with it.
            if Int32(number) == SIGKILL { _ = csb_kill(-command.pid, SIGKILL) }
            _ = csb_kill(command.pid, Int32(number))
            return
        }
        // One that still waits to be started is the first of its pid namespace without a handler: only
        // SIGKILL reaches it.
        let ends = [SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT].contains(Int32(number))
        let error = csb_kill(process.pid, control >= 0 && ends ? SIGKILL : Int32(number))
        if error == 0 {
            client.send(.accepted)
        } else {
            client.send(.failed(code: 125, reason: "cannot send signal \(number)"))
        }
    }

    /// Reads once from a process and hands it to the log and whoever listens. False when there was nothing.
    @discardableResult
    private func forward(_ source: RunningProcess, _ stream: LogFrame.Stream) -> Bool {
        let fd = stream == .output ? source.outputFD : source.errorFD
        guard fd >= 0 else { return false }
        let (bytes, isEnd) = readSome(fd)
        guard let bytes else {
            if isEnd { source.closeOutput(stream) }
            return false
        }
        if source === process { log.write(LogFrame(time: now(), stream: stream, bytes: bytes)) }
        let message = stream == .output ? ShimMessage.output(bytes) : .errorOutput(bytes)
        let encoded = message.encoded()
        for client in clients where client.receives(source, main: process) { client.send(encoded: encoded) }
        return true
    }

    private func drain(_ process: RunningProcess) {
        while forward(process, .output) {}
        while forward(process, .errorOutput) {}
    }

    private func reapChildren() {
        clearSignals(children)
        while true {
            var code: Int32 = 0
            let pid = csb_reap(&code)
            guard pid > 0 else { return }
            if pid == process.pid {
                end(code: code)
                return
            }
            guard let index = commands.firstIndex(where: { $0.pid == pid }) else { continue }
            let command = commands.remove(at: index)
            command.exitCode = code
            drain(command)
            for client in clients where client.isExecuting(command) {
                client.send(.exited(code: code))
                client.role = .new
                client.isFinishing = true
            }
            command.closeAll()
        }
    }

    /// The sandbox's process is gone, and with it everything in its pid namespace.
    private func end(code: Int32) {
        hasEnded = true
        drain(process)
        let final = startFailure?.code ?? code
        state.markExited(code: final, reason: startFailure?.reason)
        for client in clients where client.isInterestedInEnd {
            client.send(.exited(code: final))
            client.isFinishing = true
        }
        unlink("\(directory)/shim.sock")
        close(listener)
        let deadline = now() + UInt64(Self.farewellMilliseconds) * 1_000_000
        while now() < deadline {
            let waiting = clients.filter { !$0.isClosed && $0.hasPending }
            if waiting.isEmpty { break }
            var polls = waiting.map { pollfd(fd: $0.fd, events: Int16(POLLOUT), revents: 0) }
            guard poll(&polls, nfds_t(polls.count), Self.farewellMilliseconds) > 0 else { continue }
            for (client, poll) in zip(waiting, polls) where poll.revents != 0 {
                client.flush()
                if poll.revents & Int16(POLLERR | POLLHUP) != 0 { client.close() }
            }
        }
    }
}
