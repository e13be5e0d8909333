import Glibc
import WeftSandboxWire

/// What weftd does with a running sandbox.
///
/// Each conversation blocks, but not for long: a supervisor that does not answer is `SandboxError.silent`.
package enum SandboxControl {
    /// How long a supervisor may take to answer.
    private static let limit = Duration.seconds(3)
    /// The same where it waits itself until a command runs.
    private static let startLimit = Duration.seconds(35)

    /// Lets the process go, and returns once its command runs.
    /// - Throws: `SandboxError.refused` with 127 (no such command), 126 (cannot be run) or 125 (the sandbox
    ///   could not be set up); the sandbox has ended then.
    package static func start(_ directory: SandboxDirectory) throws(SandboxError) {
        let connection = try SandboxConnection(socket: directory.socket, limit: startLimit)
        try connection.send(.start)
        try connection.expectAccepted()
    }

    /// Sends a signal to the sandbox's first process. As everywhere with a first process, signals it does
    /// not handle do nothing, except SIGKILL and SIGSTOP.
    package static func signal(_ directory: SandboxDirectory, _ number: UInt8) throws(SandboxError) {
        let connection = try SandboxConnection(socket: directory.socket, limit: limit)
        try connection.send(.signal(number))
        try connection.expectAccepted()
    }

    /// Ends the sandbox for certain: with its supervisor, if that one does not answer.
    package static func kill(_ directory: SandboxDirectory) throws(SandboxError) {
        do { try signal(directory, UInt8(SIGKILL)) } catch .silent(let sandbox) {
            guard let state = directory.state(), state.isAlive else { return }
            // The sandbox's first process ends with its parent.
            guard Glibc.kill(state.shimPID, SIGKILL) == 0 || errno == ESRCH else {
                throw .system("cannot end the supervisor of sandbox \(sandbox)", errno: errno)
            }
        }
    }

    /// Runs a command in the sandbox, in its environment, and ends it by force after the limit. What it writes is nobody's.
    /// - Returns: its exit code; nil when it took too long.
    package static func check(_ sandbox: SandboxStore.Entry, command: [String], limit: Duration) throws(SandboxError) -> Int32? {
        let (spec, end) = (sandbox.spec, ContinuousClock.now + limit)
        let connection = try SandboxConnection(socket: sandbox.directory.socket, limit: startLimit)
        let request = ProcessRequest(
            command: command, environment: spec.completeEnvironment(terminal: false), workingDirectory: spec.workingDirectory ?? "/",
            terminal: false, openInput: false)
        try connection.send(.exec(request, detached: false))
        try connection.expectAccepted()
        while true {
            while let message = try connection.buffered() { if case .exited(let code) = message { return code } }
            let rest = end - .now
            guard rest > .zero else { break }
            var wait = pollfd(fd: connection.fd, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, Int32(clamping: max(1, Int64(rest / .milliseconds(1))))) > 0 else { continue }
            guard try connection.fill() else { throw .connectionLost }
        }
        try connection.send(.signal(UInt8(SIGKILL)))
        return nil
    }

    /// Blocks until the sandbox has ended.
    /// - Returns: its exit code.
    package static func waitForExit(_ directory: SandboxDirectory) throws(SandboxError) -> Int32 {
        try SandboxWatch(directory).exitCode()
    }
}

/// Waits for a sandbox's end: `fd` becomes readable then. Nothing else ever arrives on it, so one poll or one
/// event loop can watch any number of sandboxes. Works for one whose supervisor is killed as well.
package struct SandboxWatch {
    private let connection: SandboxConnection?
    private let directory: SandboxDirectory
    /// Becomes readable at the end; -1 when that has come already.
    package var fd: Int32 { connection?.fd ?? -1 }

    package init(_ directory: SandboxDirectory) throws(SandboxError) {
        self.directory = directory
        do {
            let connection = try SandboxConnection(socket: directory.socket)
            try connection.send(.wait)
            try connection.expectAccepted()
            self.connection = connection
        } catch {
            // It ended while this was asked. Otherwise the error is what it is.
            guard directory.state()?.status == .exited else { throw error }
            connection = nil
        }
    }

    /// The exit code; blocks as long as `fd` is not readable.
    package func exitCode() throws(SandboxError) -> Int32 {
        if case .exited(let code)? = try connection?.receive() { return code }
        // The supervisor went without a word, or had gone before. It may take a moment until a process that
        // was killed is gone.
        for _ in 0..<100 {
            if let state = directory.state(), state.status == .exited { return state.exitCode ?? 137 }
            usleep(10_000)
        }
        throw .connectionLost
    }
}
