internal import CLinux
internal import Glibc

/// Unix sockets that listen on behalf of another process, in systemd's way: it inherits them as descriptors 3 and up, and
/// finds their number in LISTEN_FDS. Connections wait in the socket while that process is away.
package enum ListeningSockets {
    /// Makes a socket at `path`, for its owner only. A file that is left there is replaced.
    package static func open(_ path: String) throws(SystemError) -> OwnedDescriptor {
        let descriptor = clx_listen_unix(path, 1024)
        guard descriptor >= 0 else { throw .last("listen on \(path)") }
        return OwnedDescriptor(owning: descriptor)
    }

    /// What this process was given, by path. The environment that says so is cleared, and its children do not inherit them.
    package static func inherited() -> [String: Int32] {
        func variable(_ name: String) -> Int32? { getenv(name).flatMap { Int32(String(cString: $0)) } }
        defer { for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] { unsetenv(name) } }
        guard variable("LISTEN_PID") == getpid(), let count = variable("LISTEN_FDS"), (1...64).contains(count) else { return [:] }
        var sockets: [String: Int32] = [:]
        for descriptor in 3..<3 + count {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            var path = [CChar](repeating: 0, count: 108)
            guard clx_listening_path(descriptor, &path, path.count) == 0 else { continue }
            sockets[String(decoding: path.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)] = descriptor
        }
        return sockets
    }
}

/// A program that is started with listening sockets and watched.
package enum SupervisedProcess {
    /// Starts `arguments[0]`, a path. It gets SIGTERM should this process die. Only for processes with one thread.
    package static func start(_ arguments: [String], sockets: [Int32]) throws(SystemError) -> Int32 {
        var strings = arguments.map { strdup($0) } + [nil]
        defer { strings.forEach { free($0) } }
        var pid: pid_t = 0
        let code = clx_spawn_listening(&pid, &strings, sockets, Int32(sockets.count))
        guard code == 0 else { throw SystemError("run \(arguments.first ?? "")", code: code) }
        return pid
    }

    /// Replaces this process's program. Returns only by throwing.
    package static func become(_ arguments: [String]) throws(SystemError) {
        var strings = arguments.map { strdup($0) } + [nil]
        defer { strings.forEach { free($0) } }
        execv(arguments.first ?? "", &strings)
        throw .last("run \(arguments.first ?? "")")
    }
}
