import CSandbox

/// How a sandbox is doing.
package struct SandboxState: Codable, Equatable, Sendable {
    package enum Status: String, Codable, Sendable {
        /// The namespaces exist; the process waits to be started.
        case created
        case running
        case exited
    }

    package var status: Status
    /// The sandbox's first process, as the host numbers it.
    package var pid: Int32
    /// In clock ticks since boot; guards against a pid that was given out again.
    package var processStartTime: UInt64
    package var shimPID: Int32
    package var shimStartTime: UInt64
    /// Nanoseconds since 1970, as the two below.
    package var createdAt: UInt64
    package var startedAt: UInt64?
    package var finishedAt: UInt64?
    /// As a shell gives it: 128 + the signal's number for one killed by a signal.
    package var exitCode: Int32?
    /// Why the command did not start, or that its supervisor is gone.
    package var error: String?

    /// The network namespace's path while the sandbox lives.
    package var netnsPath: String { "/proc/\(pid)/ns/net" }

    /// Whether the supervisor is there, and with it the sandbox.
    package var isAlive: Bool {
        status != .exited && csb_start_time(shimPID) == shimStartTime && shimStartTime != 0
            && csb_start_time(pid) == processStartTime
    }

    /// The state as it is, whatever a supervisor that died could not write any more.
    func corrected() -> SandboxState {
        guard status != .exited, csb_start_time(shimPID) != shimStartTime else { return self }
        var result = self
        result.status = .exited
        result.exitCode = 137
        result.error = "the sandbox's supervisor was killed, and the sandbox with it"
        return result
    }
}
