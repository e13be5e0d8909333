import CLab
import CSandbox
import Glibc
import WeftLinux
import WeftText

/// A daemon of a host, that the lab starts and ends.
package struct LabProcess: Sendable {
    let host: LabHost
    /// Its name, as it is shown.
    package let program: String
    let command: [String]
    /// The socket that it answers on once it is up, seen from the machine.
    package let socket: String
    /// Directories in which it finds its programs, ahead of the usual ones.
    var searchPath: [String] = []
    var secondsToStart = 20.0
    var secondsToStop = 15.0

    package var log: String { "\(host.directory)/\(program).log" }
    private var pidFile: String { "\(host.directory)/\(program).pid" }

    /// Its process id while it runs.
    package var pid: Int32? {
        guard let text = try? FileSystem.readText(pidFile) else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 2, let pid = Int32(fields[0]), let time = UInt64(fields[1]), time != 0,
            csb_start_time(pid) == time
        else { return nil }
        return pid
    }

    /// Starts it, detached; it need not answer yet.
    package func start() throws {
        guard pid == nil else { throw LabError.alreadyRunning(program, host: host.name) }
        // The one of before: to connect to it would say that nobody listens, but not that nobody does yet.
        unlink(socket)
        var pid: pid_t = 0
        let path = searchPath + ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        let environment = ["PATH=\(path.joined(separator: ":"))", "HOME=/root"]
        let result = host.withNamespaces { namespaces in
            withCStrings(command) { arguments in
                withCStrings(environment) { clab_spawn(namespaces, arguments, $0, log, &pid) }
            }
        }
        if result < 0 {
            throw LabError.commandFailed(command: command.joined(separator: " "), reason: String(cString: strerror(-result)))
        }
        try FileSystem.writeAtomically(Array("\(pid) \(csb_start_time(pid))\n".utf8), to: pidFile)
    }

    /// Blocks until its socket takes connections.
    package func wait(seconds: Double? = nil) throws {
        let deadline = ContinuousClock.now + .seconds(seconds ?? secondsToStart)
        while true {
            let fd = csb_connect(socket, 0)
            if fd >= 0 {
                close(fd)
                return
            }
            guard pid != nil, ContinuousClock.now < deadline else {
                throw LabError.daemonFailed(program, host: host.name, log: log, tail: logTail())
            }
            usleep(5_000)
        }
    }

    private func logTail() -> String {
        let text = (try? FileSystem.readText(log)) ?? ""
        return text.split(separator: "\n").suffix(5).joined(separator: "\n")
    }

    /// Ends it and waits until it is gone.
    package func end(signal: Int32) throws {
        guard let pid else { throw LabError.notRunning(program, host: host.name) }
        _ = csb_kill(pid, signal)
        let deadline = ContinuousClock.now + .seconds(secondsToStop)
        while self.pid == pid {
            guard ContinuousClock.now < deadline else { throw LabError.doesNotStop(program, host: host.name) }
            usleep(2_000)
        }
    }
}
