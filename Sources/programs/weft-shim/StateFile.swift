import CSandbox
import Glibc
import WeftText

/// The sandbox's state.json, replaced as a whole at each change.
struct StateFile {
    private let path: String
    /// What never changes.
    private let fixed: [(key: String, value: JSON)]
    private var changing: [(key: String, value: JSON)] = [("status", "created")]
    private var startedAt: JSON?

    init(directory: String, pid: pid_t) {
        path = "\(directory)/state.json"
        let own = getpid()
        fixed = [
            ("pid", .integer(Int64(pid))), ("processStartTime", .counter(csb_start_time(pid))),
            ("shimPID", .integer(Int64(own))), ("shimStartTime", .counter(csb_start_time(own))),
            ("createdAt", .counter(now())),
        ]
    }

    mutating func markRunning() {
        let time = JSON.counter(now())
        startedAt = time
        changing = [("status", "running"), ("startedAt", time)]
        _ = write()
    }

    mutating func markExited(code: Int32, reason: String?) {
        changing = [("status", "exited")]
        if let startedAt { changing.append(("startedAt", startedAt)) }
        changing += [("exitCode", .integer(Int64(code))), ("finishedAt", .counter(now()))]
        if let reason { changing.append(("error", .string(reason))) }
        _ = write()
    }

    /// Returns 0 or an errno value.
    func write() -> Int32 {
        let bytes = JSON.object(changing + fixed).utf8 + [0x0a]
        let new = "\(path).new"
        let fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard fd >= 0 else { return errno }
        let count = Glibc.write(fd, bytes, bytes.count)
        close(fd)
        guard count == bytes.count else { return ENOSPC }
        return rename(new, path) == 0 ? 0 : errno
    }
}
