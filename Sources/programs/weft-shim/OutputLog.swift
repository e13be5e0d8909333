import Glibc
import WeftSandboxWire

/// The sandbox's log: output.log, and output.log.1 before it.
///
/// An error (a full disk) loses log lines; the sandbox goes on.
struct OutputLog {
    static let sizeMax = 10 << 20

    private let path: String
    private var fd: Int32
    private var size = 0

    init(directory: String) {
        path = "\(directory)/output.log"
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    }

    mutating func write(_ frame: LogFrame) {
        let bytes = frame.encoded()
        if size + bytes.count > Self.sizeMax { rotate() }
        guard fd >= 0 else { return }
        let count = Glibc.write(fd, bytes, bytes.count)
        if count == bytes.count {
            size += count
        } else if count > 0 {
            // Half a frame would make the rest of the file unreadable.
            ftruncate(fd, off_t(size))
        }
    }

    private mutating func rotate() {
        if fd >= 0 { close(fd) }
        rename(path, "\(path).1")
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o600)
        size = 0
    }
}
