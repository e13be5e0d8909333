package import WeftModel

/// How a run of a task ended.
package struct TaskEnd: Hashable, Sendable {
    /// Nil where nobody could tell.
    package var exitCode: Int?
    /// What its driver says of it.
    package var problem: String?

    package init(exitCode: Int?, problem: String? = nil) {
        self.exitCode = exitCode
        self.problem = problem
    }
}

/// What health checks say of a run that has some.
package enum TaskHealth: Hashable, Sendable { case unknown, healthy, unhealthy }

/// A run that has begun.
package struct StartedTask: Hashable, Sendable {
    /// Its first process, as this host sees it.
    package var pid: Int?
    /// Those that are published at this node, each with its number.
    package var ports: [PortConfig]
    /// Nil: nothing checks it.
    package var health: TaskHealth?

    package init(pid: Int?, ports: [PortConfig] = [], health: TaskHealth? = nil) {
        self.pid = pid
        self.ports = ports
        self.health = health
    }
}

/// A container or sandbox of a task that is on this host already.
package struct FoundTask: Hashable, Sendable {
    package enum Phase: Hashable, Sendable {
        case created
        case running(StartedTask)
        case ended(TaskEnd)
    }

    package let task: TaskID
    package let container: String
    package var phase: Phase

    package init(task: TaskID, container: String, phase: Phase) {
        self.task = task
        self.container = container
        self.phase = phase
    }
}

/// What happens to or with this node's tasks.
package enum TaskInput: Hashable, Sendable {
    /// All that the node is to run; what is not among it is not to run.
    case assigned(AssignedTasks)
    /// The node is in no swarm any more.
    case left
    /// What a runtime has, after a start. Before this nothing is made by it.
    case found(TaskSpec.Runtime, [FoundTask])
    /// Why a runtime cannot say yet what it has: a sentence.
    case unavailable(TaskSpec.Runtime, String)
    /// Answers `begin`.
    case done(TaskID, StepNumber, TaskStepResult)
    /// A run ended.
    case ended(TaskID, container: String, TaskEnd)
    case health(TaskID, container: String, TaskHealth)
    /// Somebody had the engine restart a run, or start one that had ended: the container is the same, its process and its endpoints are
    /// others.
    case restarted(TaskID, container: String, StartedTask)
    /// Answers `probe`.
    case listens(TaskID, container: String, pid: Int)
    /// Time passed.
    case tick
}

/// One thing to be done for a task.
package enum TaskStep: Hashable, Sendable {
    /// Make the container, complete but for its process.
    case prepare(ServiceTask, [TaskFile])
    /// Take its endpoints out of rotation, and wait until everybody has done so.
    case withdraw
    case start(container: String)
    /// Nanoseconds between the signal and the end by force; an empty signal: what the image or the runtime says.
    case shutDown(container: String, signal: String, grace: Int64)
    case remove(container: String)
}

/// A secret or config, as the task refers to it.
package struct TaskFile: Hashable, Sendable {
    package let reference: ContainerSpec.FileReference
    package let content: SharedFileSpec
    package let isSecret: Bool

    package init(reference: ContainerSpec.FileReference, content: SharedFileSpec, isSecret: Bool) {
        self.reference = reference
        self.content = content
        self.isSecret = isSecret
    }
}

package enum TaskStepResult: Hashable, Sendable {
    case prepared(container: String)
    case started(StartedTask)
    /// Of `shutDown`.
    case ended(TaskEnd)
    case done
    /// A sentence.
    case failed(String)
}

/// What is to be done, in this order.
package enum TaskAction: Hashable, Sendable {
    /// Answered by one `done`. Steps of one task never overlap.
    case begin(TaskID, TaskSpec.Runtime, StepNumber, TaskStep)
    /// Nobody wants what this step makes: it is to end soon.
    case cancel(TaskID, StepNumber)
    /// Say `listens` when something listens on all these TCP ports in the process's network namespace, or nothing does for ten
    /// seconds; where there are none, when it listens on any port, or nothing does for a second.
    case probe(TaskID, container: String, pid: Int, ports: [UInt16])
    case rotate(TaskID, ServingTask.Rotation)
    /// For the manager.
    case report([TaskReport], gone: [TaskID])
}
