import CSandbox
import Glibc
import WeftSandboxWire
import WeftText

/// Something the supervisor could not do.
struct SupervisorError: Error, CustomStringConvertible {
    let description: String

    init(_ what: String, _ code: Int32) {
        description = code == 0 ? what : "\(what): \(String(cString: strerror(code)))"
    }
}

/// Nanoseconds since 1970.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Reads once. No bytes and no end: there is nothing at the moment.
func readSome(_ fd: Int32) -> (bytes: [UInt8]?, isEnd: Bool) {
    while true {
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 32 << 10) { space, used in
            count = read(fd, space.baseAddress, space.count)
            used = max(count, 0)
        }
        if count > 0 { return (bytes, false) }
        if count == 0 { return (nil, true) }
        // EIO: the other side of a terminal is closed.
        if errno != EINTR { return (nil, errno != EAGAIN) }
    }
}

/// Sends everything over a blocking socket.
func sendAll(_ fd: Int32, _ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { csb_send(fd, $0.baseAddress, $0.count) }
        if count == -Int(EINTR) { continue }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
    }
    return true
}

/// Empties a signal descriptor: several SIGCHLD may be one.
func clearSignals(_ fd: Int32) {
    while readSome(fd).bytes != nil {}
}

extension ProcessRequest {
    func withProcess<Result>(
        stdio: (Int32, Int32, Int32), _ body: (UnsafePointer<csb_process>) -> Result
    ) -> Result {
        withCStrings(command) { argv in
            withCStrings(environment) { envp in
                workingDirectory.withCString { directory in
                    var process = csb_process()
                    process.argv = argv
                    process.envp = envp
                    process.working_directory = directory
                    process.terminal = terminal
                    process.stdio = stdio
                    process.rows = size.rows
                    process.columns = size.columns
                    return body(&process)
                }
            }
        }
    }
}

extension LaunchRequest {
    func withLayout<Result>(_ body: (UnsafePointer<csb_layout>) -> Result) -> Result {
        let texts = [hostname, rootfs, "\(directory)/hosts", "\(directory)/resolv.conf", "\(directory)/hostname"]
        return withCStrings(texts) { pointers in
            var layout = csb_layout()
            layout.hostname = UnsafePointer(pointers[0])
            layout.rootfs = rootfs.isEmpty ? nil : UnsafePointer(pointers[1])
            layout.hosts = UnsafePointer(pointers[2])
            layout.resolv_conf = UnsafePointer(pointers[3])
            layout.hostname_file = UnsafePointer(pointers[4])
            return withCStrings(files) { files in
                layout.files = files
                return body(&layout)
            }
        }
    }
}

extension csb_outcome {
    var reason: String {
        withUnsafeBytes(of: text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
