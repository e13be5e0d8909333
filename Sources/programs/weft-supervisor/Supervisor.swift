import Glibc
import WeftLinux

/// Writes a line to standard error.
func say(_ text: String) {
    let line = Array("weft-supervisor: \(text)\n".utf8)
    _ = write(2, line, line.count)
}

/// Starts a daemon over and over, with the sockets that it keeps.
struct Supervisor {
    /// A daemon that lives less is not started again at once, or a broken one would take the whole processor.
    private static let shortLife: Double = 1
    private static let pauseMax: Double = 5
    /// What the daemon ends with when its options are wrong: to start it again would not help.
    private static let usageError: Int32 = 64

    let paths: [String]
    let program: [String]

    /// Returns the exit code.
    func run() -> Int32 {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] { sigaddset(&signals, signal) }
        sigprocmask(SIG_BLOCK, &signals, nil)
        do {
            var descriptors: [Int32] = []
            for path in paths {
                let directory = path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
                try FileSystem.makeDirectory(directory.isEmpty ? "/" : directory)
                // Open for as long as this process lives.
                descriptors.append(try ListeningSockets.open(path).release())
            }
            defer { for path in paths { unlink(path) } }
            return try supervise(descriptors, signals)
        } catch {
            say("\(error)")
            return 1
        }
    }

    private func supervise(_ descriptors: [Int32], _ signals: sigset_t) throws -> Int32 {
        var pause = 0.0
        while true {
            let began = now()
            let pid = try SupervisedProcess.start(program, sockets: descriptors)
            let (status, isStopped) = wait(for: pid, signals)
            let code = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
            if isStopped { return code }
            if code == Self.usageError { return code }
            // Who is killed is not broken.
            let isBroken = now() - began < Self.shortLife && code != 128 + SIGKILL
            pause = isBroken ? min(max(pause * 2, 0.1), Self.pauseMax) : 0
            say("\(program[0]) ended with \(code) and is started again\(pause > 0 ? " in \(pause) s" : "")")
            if sleep(pause, signals) { return 0 }
        }
    }

    /// Until the daemon ends; passes on what it is told to do. True: it was told to stop.
    private func wait(for pid: Int32, _ signals: sigset_t) -> (status: Int32, isStopped: Bool) {
        var signals = signals
        var isStopped = false
        while true {
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid { return (status, isStopped) }
            var signal: Int32 = 0
            sigwait(&signals, &signal)
            switch signal {
            case SIGTERM, SIGINT:
                isStopped = true
                kill(pid, signal)
            case SIGHUP: kill(pid, signal)
            default: break
            }
        }
    }

    /// True: it was told to stop meanwhile.
    private func sleep(_ seconds: Double, _ signals: sigset_t) -> Bool {
        var signals = signals
        let end = now() + seconds
        while case let left = end - now(), left > 0 {
            var time = timespec(tv_sec: Int(left), tv_nsec: Int((left - Double(Int(left))) * 1e9))
            let signal = sigtimedwait(&signals, nil, &time)
            if signal == SIGTERM || signal == SIGINT { return true }
        }
        return false
    }

    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
