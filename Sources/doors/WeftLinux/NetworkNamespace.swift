internal import CLinux
internal import Glibc

/// A network namespace, named by a path such as `/proc/1234/ns/net` or `/run/netns/blue`.
package struct NetworkNamespace: Hashable, Sendable {
    /// Nil: the one this process lives in.
    package let path: String?

    package init(path: String) { self.path = path }
    private init() { path = nil }

    /// The namespace of this process.
    package static let current = NetworkNamespace()

    /// There is a namespace at the path, not just a file that one may be mounted on.
    package var isThere: Bool { clx_is_namespace(path ?? "/proc/self/ns/net") == 1 }

    /// Opens the namespace, for handing it to the kernel.
    package func open() throws(SystemError) -> OwnedDescriptor {
        try OwnedDescriptor(opening: path ?? "/proc/self/ns/net", flags: O_RDONLY)
    }

    /// Runs `body` on a thread inside the namespace and waits for it: tens of microseconds, for opening descriptors and reading
    /// /proc/sys/net. Nothing else in this code base switches the namespace of a thread; the thread ends with `body`,
    /// so no other code ever runs on it. `body` runs on the calling thread if the namespace is the process's own.
    package func run<Result: Sendable>(_ body: @Sendable () throws -> Result) throws -> Result {
        guard path != nil else { return try body() }
        let descriptor = try open()
        let raw = descriptor.rawValue
        return try withoutActuallyEscaping(body) { body in
            try onThread {
                guard clx_setns_network(raw) == 0 else { throw SystemError.last("enter network namespace \(self)") }
                return try body()
            }
        }
    }

    /// True if both name the same namespace.
    package func isSame(as other: NetworkNamespace) throws(SystemError) -> Bool {
        try identity() == other.identity()
    }

    /// The number of the namespace's inode: equal for two paths of the same namespace.
    package func identity() throws(SystemError) -> UInt64 {
        let descriptor = try open()
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw .last("inspect network namespace \(self)") }
        return UInt64(status.st_ino)
    }

    /// A number that no other namespace has until the next boot, unlike its inode's, which is given out again.
    package func cookie() throws -> UInt64 {
        try run {
            let probe = OwnedDescriptor(owning: socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
            guard probe.rawValue >= 0 else { throw SystemError.last("open a socket") }
            var cookie: UInt64 = 0
            var size = socklen_t(MemoryLayout<UInt64>.size)
            guard getsockopt(probe.rawValue, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0 else {
                throw SystemError.last("read the cookie of network namespace \(self)")
            }
            return cookie
        }
    }
}

extension NetworkNamespace: CustomStringConvertible {
    package var description: String { path ?? "of this process" }
}

/// Runs `body` on a new thread and waits for its end.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
    let work = ThreadWork(body)
    var thread = pthread_t()
    let code = pthread_create(
        &thread, nil,
        { argument in
            if let argument { Unmanaged<ThreadWork>.fromOpaque(argument).takeUnretainedValue().run() }
            return nil
        }, Unmanaged.passUnretained(work).toOpaque())
    guard code == 0 else { throw SystemError("start a thread", code: code) }
    pthread_join(thread, nil)
    guard let outcome = work.outcome as? Swift.Result<Result, any Error> else {
        throw SystemError("run a thread", code: 0)
    }
    return try outcome.get()
}

/// Carries a closure to another thread and its outcome back; the join orders the two accesses.
private final class ThreadWork: @unchecked Sendable {
    private let body: () -> Any
    private(set) var outcome: Any?

    init<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) {
        self.body = { Swift.Result<Result, any Error> { try body() } }
    }

    func run() { outcome = body() }
}
