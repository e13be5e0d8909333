import CSandbox
import Glibc

/// The sandbox's state.json, replaced as a whole at each change.
struct StateFile {
    private let path: String
    private let fixed: String
    private var changing: String

    init(directory: String, pid: pid_t) {
        path = "\(directory)/state.json"
        let own = getpid()
        fixed = """
            "pid":\(pid),"processStartTime":\(csb_start_time(pid)),"shimPID":\(own),\
            "shimStartTime":\(csb_start_time(own)),"createdAt":\(now())
            """
        changing = "\"status\":\"created\""
    }

    mutating func markRunning() {
        changing = "\"status\":\"running\",\"startedAt\":\(now())"
        _ = write()
    }

    mutating func markExited(code: Int32, reason: String?) {
        let started = changing.split(separator: ",").first { $0.hasPrefix("\"startedAt\"") }.map { ",\($0)" } ?? ""
        let error = reason.map { ",\"error\":\(Self.quote($0))" } ?? ""
        changing = "\"status\":\"exited\"\(started),\"exitCode\":\(code),\"finishedAt\":\(now())\(error)"
        _ = write()
    }

    /// Returns 0 or an errno value.
    func write() -> Int32 {
        let text = "{\(changing),\(fixed)}\n"
        let new = "\(path).new"
        let fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard fd >= 0 else { return errno }
        let bytes = Array(text.utf8)
        let count = Glibc.write(fd, bytes, bytes.count)
        close(fd)
        guard count == bytes.count else { return ENOSPC }
        return rename(new, path) == 0 ? 0 : errno
    }

    private static func quote(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
