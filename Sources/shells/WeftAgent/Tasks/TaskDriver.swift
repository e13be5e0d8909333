package import WeftModel
package import WeftNode

/// How the tasks of one runtime come to be, and end. A driver knows nothing of what is wanted, or of other tasks: the machine
/// says what is to be done, one thing at a time for each task. Any call may take long, and delays nobody else; one whose task is
/// cancelled ends soon.
package protocol TaskDriver: Sendable {
    /// The containers of tasks that are there. Throws while that cannot be told.
    func found() async throws -> [FoundTask]
    /// Makes the container, complete but for its process, and returns what it is called. Nothing is left when it throws.
    func prepare(_ order: TaskOrder) async throws -> String
    /// Lets the process go, and returns once it runs. When it throws, nothing runs.
    func start(_ container: String) async throws -> StartedTask
    /// As it runs; nil: it does not.
    func running(_ container: String) async throws -> StartedTask?
    /// Returns once it has ended; nil: cancelled. Tells of its health meanwhile.
    func wait(_ container: String, _ tell: @escaping @Sendable (TaskNews) -> Void) async -> TaskEnd?
    /// Ends the process, by force after the grace, and returns once it has ended.
    func shutDown(_ container: String, signal: String, grace: Duration) async throws -> TaskEnd
    /// Takes away what `prepare` made; nothing there is fine.
    func remove(_ container: String) async throws
    /// Hands over what it wrote, as it comes, and returns at the end of that: of what there is, or with `follows` of all it ever wrote.
    func readLog(
        of container: String, hasTerminal: Bool, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws
}

/// What a driver tells of a run until it ends.
package enum TaskNews: Sendable {
    case health(TaskHealth)
    /// It has another process than it had.
    case restarted(StartedTask)
}

/// A step of a task's that came to nothing, in a sentence that says it all.
package struct TaskFailure: Error, Hashable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
