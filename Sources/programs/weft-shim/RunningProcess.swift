import CSandbox
import Glibc
import WeftSandboxWire

/// The pipes between the supervisor and a process; none when the process gets a terminal.
final class ProcessPipes {
    /// Descriptors that the process gets as 0, 1 and 2.
    private(set) var inner: (Int32, Int32, Int32) = (-1, -1, -1)
    private(set) var outer: (input: Int32, output: Int32, error: Int32) = (-1, -1, -1)

    init(_ request: ProcessRequest) throws(SupervisorError) {
        guard !request.terminal else { return }
        if request.openInput {
            let pair = try Self.pipe()
            (inner.0, outer.input) = (pair.read, pair.write)
        } else {
            inner.0 = try Self.null()
        }
        let output = try Self.pipe()
        (outer.output, inner.1) = (output.read, output.write)
        let error = try Self.pipe()
        (outer.error, inner.2) = (error.read, error.write)
        for fd in [outer.input, outer.output, outer.error] where fd >= 0 { _ = csb_set_nonblocking(fd, true) }
    }

    private init(null: Int32) { inner = (null, null, null) }

    /// Everything on /dev/null.
    static func none() throws(SupervisorError) -> ProcessPipes { ProcessPipes(null: try null()) }

    private static func pipe() throws(SupervisorError) -> (read: Int32, write: Int32) {
        var pair: [Int32] = [-1, -1]
        let error = csb_pipe(&pair)
        guard error == 0 else { throw SupervisorError("cannot make a pipe", -error) }
        return (pair[0], pair[1])
    }

    private static func null() throws(SupervisorError) -> Int32 {
        let fd = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard fd >= 0 else { throw SupervisorError("cannot open /dev/null", errno) }
        return fd
    }

    /// Closes the process's ends in the supervisor, without which no end of output would ever show.
    func closeInner() {
        for fd in Set([inner.0, inner.1, inner.2]) where fd >= 0 { close(fd) }
        inner = (-1, -1, -1)
    }
}

/// A process in the sandbox, as its supervisor sees it.
final class RunningProcess {
    let pid: pid_t
    let hasTerminal: Bool
    private(set) var inputFD: Int32
    private(set) var outputFD: Int32
    private(set) var errorFD: Int32
    var exitCode: Int32?
    private var input: [UInt8] = []
    private var inputEnds = false

    init(pid: pid_t, pipes: ProcessPipes, terminal: Bool) {
        self.pid = pid
        hasTerminal = terminal
        inputFD = pipes.outer.input
        outputFD = pipes.outer.output
        errorFD = pipes.outer.error
    }

    /// Takes over the master side of the process's terminal.
    func adopt(terminal: Int32) {
        _ = csb_set_nonblocking(terminal, true)
        outputFD = terminal
        inputFD = fcntl(terminal, F_DUPFD_CLOEXEC, 3)
        writeInput()
    }

    var inputSize: Int { input.count }
    var wantsToWrite: Bool { inputFD >= 0 && !input.isEmpty }
    /// A terminal that is yet to come counts: input may be sent ahead of the start.
    private var takesInput: Bool { inputFD >= 0 || (hasTerminal && outputFD < 0 && exitCode == nil) }

    func queueInput(_ bytes: [UInt8]) {
        guard takesInput, !inputEnds else { return }
        input += bytes
        writeInput()
    }

    func endInput() {
        if hasTerminal {
            // What a person would type.
            queueInput([4])
            return
        }
        inputEnds = true
        if input.isEmpty { closeInput() }
    }

    func writeInput() {
        while wantsToWrite {
            let count = write(inputFD, input, input.count)
            if count > 0 {
                input.removeFirst(count)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                closeInput()  // nobody reads it any more
            }
        }
        if inputEnds && inputFD >= 0 { closeInput() }
    }

    func resize(_ size: TerminalSize) {
        if hasTerminal, outputFD >= 0 { _ = csb_set_size(outputFD, size.rows, size.columns) }
    }

    private func closeInput() {
        input = []
        if inputFD >= 0 { close(inputFD) }
        inputFD = -1
    }

    func closeOutput(_ stream: LogFrame.Stream) {
        switch stream {
        case .output:
            if outputFD >= 0 { close(outputFD) }
            outputFD = -1
        case .errorOutput:
            if errorFD >= 0 { close(errorFD) }
            errorFD = -1
        }
    }

    func closeAll() {
        closeInput()
        closeOutput(.output)
        closeOutput(.errorOutput)
    }
}
