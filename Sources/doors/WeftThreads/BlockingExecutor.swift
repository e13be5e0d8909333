// Threads for what blocks: files, databases, sockets of other processes. The cooperative pool has a thread for each core and
// serves everybody, so nothing may hold one of its threads up.
import NIOPosix

/// One thread, on which an actor or a task lives that reads and writes files, or speaks to a database. What blocks there delays
/// that actor, and nobody else.
package final class BlockingExecutor: SerialExecutor, TaskExecutor {
    private let pool: NIOThreadPool

    package init() {
        pool = NIOThreadPool(numberOfThreads: 1)
        pool.start()
    }

    /// The thread ends after what it has in hand.
    deinit { pool.shutdownGracefully { _ in } }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // Whatever the pool's state: a job that does not run leaves its task hanging.
        pool.submit { _ in
            job.runSynchronously(isolatedTo: self.asUnownedSerialExecutor(), taskExecutor: self.asUnownedTaskExecutor())
        }
    }
}
