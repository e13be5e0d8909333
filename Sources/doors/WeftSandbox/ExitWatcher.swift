import Glibc
import Synchronization
import WeftSandboxWire

/// Watches any number of sandboxes for their end, on one thread.
package final class ExitWatcher: Sendable {
    private struct Orders {
        var watch: [SandboxDirectory] = []
        var isOver = false
    }

    private let orders = Mutex(Orders())
    private let wakeRead: Int32
    private let wakeWrite: Int32

    package init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SandboxError.system("cannot make a pipe", errno: errno) }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        wakeRead = ends[0]
        wakeWrite = ends[1]
    }

    deinit {
        close(wakeRead)
        close(wakeWrite)
    }

    /// Reports this sandbox's end, also when it has come already.
    package func watch(_ directory: SandboxDirectory) {
        orders.withLock { $0.watch.append(directory) }
        wake()
    }

    package func finish() {
        orders.withLock { $0.isOver = true }
        wake()
    }

    private func wake() {
        var byte: UInt8 = 0
        // A full pipe wakes as well.
        _ = write(wakeWrite, &byte, 1)
    }

    /// Blocks its thread until `finish`, and calls `ended` on it with each sandbox that ended and its exit code. A supervisor that
    /// does not answer keeps nobody: its sandbox's end is noticed when it comes.
    package func run(ended: (SandboxDirectory, Int32) -> Void) {
        var watches: [Watched] = []
        var untaken: [SandboxDirectory] = []
        while true {
            let (new, isOver) = orders.withLock { orders in
                defer { orders.watch = [] }
                return (orders.watch, orders.isOver)
            }
            if isOver { return }
            let candidates = untaken + new
            untaken = []
            for directory in candidates {
                do { watches.append(try Watched(directory)) } catch SandboxError.silent {
                    untaken.append(directory)
                } catch {
                    // The state on disk says what there is to say.
                    ended(directory, directory.state()?.exitCode ?? 137)
                }
            }
            var fds = [pollfd(fd: wakeRead, events: Int16(POLLIN), revents: 0)]
            fds += watches.map { pollfd(fd: $0.connection.fd, events: Int16(POLLIN), revents: 0) }
            guard poll(&fds, nfds_t(fds.count), untaken.isEmpty ? -1 : Self.retryMilliseconds) > 0 else { continue }
            if fds[0].revents != 0 {
                var bytes = [UInt8](repeating: 0, count: 256)
                while read(wakeRead, &bytes, bytes.count) > 0 {}
            }
            for index in watches.indices.reversed() where fds[index + 1].revents != 0 {
                guard let code = watches[index].exitCode() else { continue }
                ended(watches.remove(at: index).directory, code)
            }
        }
    }

    /// Until a supervisor that takes no connections is asked again.
    private static let retryMilliseconds: Int32 = 1000
}

/// A connection on which the supervisor says that it took the request, and then the sandbox's end.
private struct Watched {
    let directory: SandboxDirectory
    let connection: SandboxConnection

    /// Throws `SandboxError.silent` if the supervisor takes no connections.
    init(_ directory: SandboxDirectory) throws(SandboxError) {
        self.directory = directory
        // Its queue has room, or it has not: neither takes time.
        connection = try SandboxConnection(socket: directory.socket, limit: .milliseconds(10))
        try connection.send(.wait)
    }

    /// Of a connection that can be read; nil when what came was no end.
    func exitCode() -> Int32? {
        do {
            let isOpen = try connection.fill()
            while let message = try connection.buffered() {
                switch message {
                case .exited(code: let code): return code
                case .failed(code: _, reason: _): return codeOnDisk
                default: continue
                }
            }
            return isOpen ? nil : codeOnDisk
        } catch SandboxError.silent {
            return nil
        } catch {
            return codeOnDisk
        }
    }

    /// The supervisor went without a word. It may take a moment until a process that was killed is gone.
    private var codeOnDisk: Int32 {
        for _ in 0..<100 {
            if let state = directory.state(), state.status == .exited { return state.exitCode ?? 137 }
            usleep(10_000)
        }
        return 137
    }
}
