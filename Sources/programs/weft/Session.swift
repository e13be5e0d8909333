import Dispatch
import Synchronization
import WeftSandbox
import WeftTemplate

/// A sandbox's shim. Its conversations block, so they have a thread of their own.
enum Session {
    /// Relays input, output and signals until the command ends; returns its exit code.
    static func attach(
        _ sandbox: TemplateValue, onAttached: @escaping @Sendable () async throws -> Void
    ) async throws -> Int32 {
        let socket = sandbox["Socket"].string ?? ""
        let spec = SandboxDirectory(socket: socket).load()?.spec
        return try await blocking {
            try SandboxSession.attach(
                socket: socket, terminal: spec?.terminal ?? false, stdin: spec?.openStdin ?? false,
                onAttached: { try wait(onAttached) })
        }
    }

    /// Runs `body` on a thread outside the pool that tasks share.
    static func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Swift.Result { try body() })
            }
        }
    }

    /// Waits for a task on a thread that may block.
    private static func wait(_ body: @escaping @Sendable () async throws -> Void) throws {
        let outcome = Mutex<(any Error)?>(nil)
        let done = DispatchSemaphore(value: 0)
        Task.detached {
            do { try await body() } catch { outcome.withLock { $0 = error } }
            done.signal()
        }
        done.wait()
        if let error = outcome.withLock({ $0 }) { throw error }
    }
}
