import Glibc
import Synchronization

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

    /// Blocks its thread until `finish`, and calls `ended` on it with each sandbox that ended and its exit code.
    package func run(ended: (SandboxDirectory, Int32) -> Void) {
        var watches: [(directory: SandboxDirectory, watch: SandboxWatch)] = []
        while true {
            let (new, isOver) = orders.withLock { orders in
                defer { orders.watch = [] }
                return (orders.watch, orders.isOver)
            }
            if isOver { return }
            for directory in new {
                // A supervisor that does not answer any more: the state on disk says what there is to say.
                guard let watch = try? SandboxWatch(directory), watch.fd >= 0 else {
                    ended(directory, directory.state()?.exitCode ?? 137)
                    continue
                }
                watches.append((directory, watch))
            }
            var fds = [pollfd(fd: wakeRead, events: Int16(POLLIN), revents: 0)]
            fds += watches.map { pollfd(fd: $0.watch.fd, events: Int16(POLLIN), revents: 0) }
            guard poll(&fds, nfds_t(fds.count), -1) > 0 else { continue }
            if fds[0].revents != 0 {
                var bytes = [UInt8](repeating: 0, count: 256)
                while read(wakeRead, &bytes, bytes.count) > 0 {}
            }
            for index in watches.indices.reversed() where fds[index + 1].revents != 0 {
                let (directory, watch) = watches.remove(at: index)
                ended(directory, (try? watch.exitCode()) ?? 137)
            }
        }
    }
}
