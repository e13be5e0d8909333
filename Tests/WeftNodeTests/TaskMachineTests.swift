import Testing
import WeftModel
import WeftNode

private let one = TaskID("t1")

/// A world whose drivers have said that there is nothing.
private func empty() -> TaskWorld {
    var world = TaskWorld()
    world.find()
    return world
}

private func running(_ change: (inout TaskSpec) -> Void = { _ in }) -> TaskWorld {
    var world = empty()
    world.assign(webTask("t1", change))
    world.settle()
    return world
}

@Suite("A task's life on its node")
struct TaskLifeTests {
    @Test("A task is prepared, started and becomes a backend, and every state is told in its order and Docker's words")
    func onward() throws {
        var world = running()
        #expect(world.begun.map(\.name) == ["prepare", "start"])
        #expect(world.states[one] == [.preparing, .starting, .running])
        #expect(world.status()?.message == "started" && world.status()?.container == "c1" && world.status()?.pid == 100)
        #expect(world.rotations[one] == .serving)
        world.want(.shutdown, of: one)
        #expect(world.begun.last == .withdraw)
        world.settle()
        #expect(world.begun.map(\.name) == ["prepare", "start", "withdraw", "shutDown"])
        #expect(world.status()?.state == .shutdown && world.status()?.message == "shutdown")
        #expect(world.containers.count == 1, "its log is there until the task goes")
        world.assign()
        world.settle()
        #expect(world.containers.isEmpty && world.reported.isEmpty && world.machine.statuses.isEmpty)
        #expect(world.wrongs == [])
    }

    @Test("One that is to be ready waits for its start")
    func ready() {
        var world = empty()
        world.assign(webTask("t1", desired: .ready))
        world.settle()
        #expect(world.status()?.state == .ready && world.status()?.message == "prepared")
        world.want(.running, of: one)
        world.settle()
        #expect(world.status()?.state == .running)
    }

    @Test("One that never ran is no backend to withdraw")
    func readyGoes() {
        var world = empty()
        world.assign(webTask("t1", desired: .ready))
        world.settle()
        world.want(.shutdown, of: one)
        world.settle()
        #expect(world.begun.map(\.name) == ["prepare", "shutDown"])
        #expect(world.status()?.state == .shutdown)
    }

    @Test("One that goes while it is made is not made to the end")
    func cancelled() {
        var world = empty()
        world.assign(webTask("t1"))
        world.want(.shutdown, of: one)
        #expect(world.cancelled.count == 1)
        world.finish(failing: true)
        world.settle()
        #expect(world.status()?.state == .shutdown && world.status()?.problem == nil)
        world.assign()
        world.settle()
        #expect(world.machine.statuses.isEmpty && world.containers.isEmpty)
    }

    @Test(
        "What ends by itself is complete or failed, as its exit code says; the manager decides what follows",
        arguments: [0, 1])
    func ends(code: Int) {
        var world = running()
        world.end(one, code: code)
        world.settle()
        let status = world.status()
        #expect(status?.state == (code == 0 ? .complete : .failed) && status?.exitCode == code)
        #expect(status?.message == (code == 0 ? "finished" : "started"))
        #expect(status?.problem == (code == 0 ? nil : "task: non-zero exit (1)"))
        world.pass(.seconds(60))
        #expect(world.begun.map(\.name) == ["prepare", "start"])
    }

    @Test("What cannot be made is rejected, what cannot be started has failed, each with the reason")
    func failures() {
        var world = empty()
        world.assign(webTask("t1"))
        world.settle { $0.name == "prepare" }
        #expect(world.status()?.state == .rejected && world.status()?.message == "preparing")
        #expect(world.status()?.problem == "out of order")
        world = empty()
        world.assign(webTask("t1"))
        world.settle { $0.name == "start" }
        #expect(world.status()?.state == .failed && world.status()?.problem == "out of order")
    }

    @Test("Stop signal and grace are the spec's")
    func stop() {
        var world = running {
            $0.container.stopSignal = "SIGQUIT"
            $0.container.stopGracePeriod = 3
        }
        world.assign()
        world.settle()
        #expect(world.begun.contains(.shutDown(container: "c1", signal: "SIGQUIT", grace: 3)))
        #expect(world.begun.last == .remove(container: "c1"))
    }

    @Test("What must end is tried again with each tick")
    func stuck() {
        var world = running()
        world.assign()
        world.settle { $0.name == "shutDown" }
        #expect(world.containers.count == 1)
        world.pass(.seconds(1))
        #expect(world.containers.isEmpty)
    }

    @Test("A task waits for its secrets, and says so")
    func files() throws {
        var world = empty()
        world.assign(webTask("t1") { $0.container.secrets = [.init(id: "x", name: "key", target: "key")] })
        #expect(world.begun.isEmpty)
        #expect(world.status()?.problem == "secret key has not come to this node yet")
        let secret = StoredSecret(id: "x", createdAt: world.now, spec: SharedFileSpec(name: "key", data: Secret("AA==")))
        world.assigned.secrets = [secret]
        world.feed(.assigned(world.assigned))
        guard case .prepare(_, let files)? = world.begun.first else { throw Nothing() }
        #expect(files.map(\.content) == [secret.spec] && files.map(\.isSecret) == [true])
        #expect(world.status()?.problem == nil)
    }

    @Test("A task waits for credentials that its node had before a restart, as long as its image may be missing")
    func credentials() throws {
        var world = empty()
        world.assign(webTask("t1") { $0.container.registryCredentials = Secret("") })
        #expect(world.begun.isEmpty)
        #expect(world.status()?.problem == "the credentials for the registry of image web have not come to this node yet")
        world.assign(webTask("t1") { $0.container.registryCredentials = Secret("hush") })
        guard case .prepare(let task, _)? = world.begun.first else { throw Nothing() }
        #expect(task.spec.container.registryCredentials?.exposed == "hush" && world.status()?.problem == nil)
    }

    private struct Nothing: Error {}
}

@Suite("When a task is ready, and when it is not")
struct TaskReadinessTests {
    private func withPort() -> ServiceTask {
        var task = webTask("t1")
        task.ports = [PortConfig(target: 80)]
        return task
    }

    @Test("Without a health check something must listen on the service's ports")
    func listens() {
        var world = empty()
        world.assign(withPort())
        world.settle()
        #expect(world.status()?.state == .starting && world.rotations[one] == nil)
        #expect(world.probes.map(\.ports) == [[80]])
        world.feed(.listens(one, container: "c7", pid: 100))
        #expect(world.status()?.state == .starting)
        world.feed(.listens(one, container: "c1", pid: 100))
        #expect(world.status()?.state == .running && world.rotations[one] == .serving)
        #expect(world.probes.count == 1)
    }

    @Test("On a network, without ports that are known, something must listen; a job, and what is on no network, serves nobody")
    func listensOnAnything() {
        var world = empty()
        world.isSilent = true
        world.assign(webTask("t1"))
        world.settle()
        #expect(world.status()?.state == .starting && world.probes.map(\.ports) == [[]])
        world.feed(.listens(one, container: "c1", pid: 100))
        #expect(world.status()?.state == .running && world.rotations[one] == .serving)

        var alone = empty()
        alone.assign(webTask("t1") { $0.networks = [] })
        alone.settle()
        #expect(alone.status()?.state == .running && alone.probes.isEmpty)
    }

    @Test("A container that somebody restarts is in rotation again once something listens in its new process")
    func restartedByHand() {
        var world = empty()
        world.assign(withPort())
        world.settle()
        world.feed(.listens(one, container: "c1", pid: 100))
        world.restartContainer(one)
        #expect(world.probes.map(\.pid) == [100, 101] && world.rotations[one] == nil)
        // What was said of the former process.
        world.feed(.listens(one, container: "c1", pid: 100))
        #expect(world.rotations[one] == nil)
        world.feed(.listens(one, container: "c1", pid: 101))
        #expect(world.rotations[one] == .serving && world.status()?.state == .running && world.status()?.pid == 101)
        world.want(.shutdown, of: one)
        world.settle()
        #expect(world.begun.map(\.name) == ["prepare", "start", "withdraw", "shutDown"] && world.wrongs == [])
    }

    @Test("A container that somebody starts after its task has ended is withdrawn and stopped, and nothing else is said of the task")
    func startedAfterItsEnd() {
        var world = empty()
        world.assign(withPort())
        world.settle()
        world.feed(.listens(one, container: "c1", pid: 100))
        world.end(one, code: 3)
        let said = world.status()
        #expect(said?.state == .failed && world.machine.hasEnded(one, in: "c1") && !world.machine.hasEnded(one, in: "c2"))
        world.startContainer("c1", pid: 101)
        #expect(!world.machine.hasEnded(one, in: "c1"))
        world.settle()
        #expect(world.begun.map(\.name) == ["prepare", "start", "withdraw", "shutDown"] && world.status() == said && world.wrongs == [])
        #expect(world.machine.hasEnded(one, in: "c1"))
    }

    @Test("With a health check that alone counts; what becomes unhealthy is withdrawn and stopped")
    func health() {
        var world = empty()
        world.health = .unknown
        world.assign(withPort())
        world.settle()
        #expect(world.probes.isEmpty && world.status()?.state == .starting)
        world.feed(.health(one, container: "c1", .healthy))
        #expect(world.status()?.state == .running && world.rotations[one] == .serving)
        world.feed(.health(one, container: "c1", .unhealthy))
        world.settle()
        #expect(world.begun.map(\.name) == ["prepare", "start", "withdraw", "shutDown"])
        #expect(world.status()?.problem == "task: non-zero exit (143): dockerexec: unhealthy container")
        #expect(world.wrongs == [])
    }
}

@Suite("A node without a manager")
struct AloneTests {
    @Test("It starts a task again after the policy's delay, as the same task in a new container, and says so later")
    func restarts() {
        var world = running { $0.restart = RestartPolicy() }
        world.setManager(false)
        world.end(one, code: 1)
        world.settle()
        #expect(world.status()?.state == .running)
        world.pass(.seconds(4))
        #expect(world.begun.count == 2)
        world.pass(.seconds(1))
        #expect(world.begun.map(\.name) == ["prepare", "start", "remove", "prepare", "start"])
        #expect(world.status()?.state == .running && world.status()?.container == "c2")
        #expect(world.rotations[one] == .serving && world.wrongs == [])
    }

    @Test("A manager that comes back meanwhile decides")
    func managerIsBack() {
        var world = running()
        world.setManager(false)
        world.end(one, code: 3)
        world.setManager(true)
        world.pass(.seconds(60))
        #expect(world.status()?.state == .failed && world.status()?.exitCode == 3)
        #expect(world.begun.count == 2)
    }

    @Test("Only as often as the policy says, and only what it says")
    func attempts() {
        func left(_ code: Int, _ condition: RestartPolicy.Condition, attempts: UInt64 = 0) -> (TaskState?, Int) {
            var world = running {
                var policy = RestartPolicy()
                policy.condition = condition
                policy.maxAttempts = attempts
                $0.restart = policy
            }
            world.setManager(false)
            for _ in 0..<4 {
                world.end(one, code: code)
                world.pass(.seconds(10))
            }
            return (world.status()?.state, world.begun.count { $0.name == "start" })
        }
        #expect(left(1, .none) == (.failed, 1))
        #expect(left(0, .onFailure) == (.complete, 1))
        #expect(left(1, .onFailure) == (.running, 5))
        #expect(left(0, .any) == (.running, 5))
        #expect(left(1, .any, attempts: 2) == (.failed, 3))
    }

    @Test("What is not to be made now is tried again")
    func prepareFails() {
        var world = empty()
        world.assign(webTask("t1"), hasManager: false)
        world.settle { _ in true }
        #expect(world.status()?.state == .preparing)
        world.pass(.seconds(5))
        #expect(world.status()?.state == .running)
    }
}

@Suite("Tasks of an earlier weftd")
struct TaskAdoptionTests {
    @Test("What runs goes on, and is a backend still; nothing is done before both manager and drivers have spoken")
    func adopted() {
        var world = running()
        world.restart()
        let begun = world.begun.count
        world.feed(.assigned(world.assigned))
        #expect(world.begun.count == begun)
        world.find()
        world.settle()
        #expect(world.begun.count == begun && world.status()?.state == .running)
        world.want(.shutdown, of: one)
        world.settle()
        #expect(world.begun.suffix(2).map(\.name) == ["withdraw", "shutDown"])
        #expect(world.wrongs == [])
    }

    @Test("In the other order too; what nobody assigned any more is withdrawn, stopped and removed")
    func strange() {
        var world = running()
        world.restart()
        world.find()
        #expect(world.steps.isEmpty)
        world.assign()
        world.settle()
        #expect(world.containers.isEmpty)
        #expect(world.begun.suffix(3).map(\.name) == ["withdraw", "shutDown", "remove"])
    }

    @Test("A run that ended meanwhile is told; one that is gone too")
    func ended() {
        for isGone in [false, true] {
            var world = running()
            world.restart()
            world.containers["c1"] = isGone ? nil : .init(task: one, phase: .ended(TaskEnd(exitCode: 7)))
            world.feed(.assigned(world.assigned))
            world.find()
            world.settle()
            #expect(world.status()?.state == .failed)
            #expect(
                world.status()?.problem
                    == (isGone ? "task: what it ran in is not on the node any more" : "task: non-zero exit (7)"))
        }
    }

    @Test("An engine that does not answer holds up its own tasks only")
    func oneEngine() {
        var world = TaskWorld()
        world.find([.sandbox])
        world.assign(webTask("t1"), webTask("t2") { $0.runtime = .sandbox })
        world.settle()
        world.feed(.unavailable(.container, "no engine"))
        #expect(world.status("t1")?.problem == "no engine")
        #expect(world.status("t2")?.state == .running && world.status("t1")?.state != .running)
        world.find([.container])
        world.settle()
        #expect(world.status("t1")?.state == .running && world.status("t1")?.problem == nil)
    }

    @Test("A second container of a task is removed")
    func leftovers() {
        var world = running()
        world.restart()
        world.containers["c0"] = .init(task: one, phase: .created)
        world.feed(.assigned(world.assigned))
        world.find()
        world.settle()
        #expect(world.containers.keys.sorted() == ["c1"])
        #expect(world.status()?.state == .running)
    }
}

@Suite("Tasks, in any order")
struct TaskOrderTests {
    @Test("Whatever comes in whatever order, states rise, no container is left, no backend is stopped", arguments: 0..<300)
    func anyOrder(seed: UInt64) {
        var random = SplitMix(state: seed)
        var world = empty()
        let failures = UInt64.random(in: 0...30, using: &random)
        for _ in 0..<200 {
            if !world.steps.isEmpty, Bool.random(using: &random) {
                let index = Int.random(in: 0..<world.steps.count, using: &random)
                world.finish(index, failing: UInt64.random(in: 0..<100, using: &random) < failures)
            } else {
                draw(&world, &random)
            }
            world.now = world.now + .milliseconds(Int.random(in: 0...3000, using: &random))
        }
        finish(&world, seed)
    }

    private func draw(_ world: inout TaskWorld, _ random: inout SplitMix) {
        let task = TaskID("t\(Int.random(in: 0..<4, using: &random))")
        switch Int.random(in: 0..<17, using: &random) {
        case 0...3:
            guard !world.assigned.tasks.contains(where: { $0.id == task }), world.reported[task] == nil else { return }
            var new = webTask(task.rawValue, desired: Bool.random(using: &random) ? .ready : .running)
            if Bool.random(using: &random) { new.ports = [PortConfig(target: 80)] }
            world.assigned.tasks.append(new)
            world.feed(.assigned(world.assigned))
        case 4...5:
            if (world.assigned.tasks.first { $0.id == task }?.desiredState ?? .remove) < .running { world.want(.running, of: task) }
        case 6: world.want(.shutdown, of: task)
        case 7:
            world.assigned.tasks.removeAll { $0.id == task }
            world.feed(.assigned(world.assigned))
        case 8...9: world.end(task, code: Int.random(in: 0...1, using: &random))
        case 10: world.setManager(Bool.random(using: &random))
        case 11:
            world.restart()
            if Bool.random(using: &random) { world.find() }
            world.feed(.assigned(world.assigned))
            world.find()
        case 12: for probe in world.probes { world.feed(.listens(probe.task, container: probe.container, pid: probe.pid)) }
        case 13: world.health = [nil, .unknown, .healthy][Int.random(in: 0..<3, using: &random)]
        case 14:
            guard let container = world.machine.container(of: task) else { return }
            world.feed(.health(task, container: container, Bool.random(using: &random) ? .healthy : .unhealthy))
        case 15: world.restartContainer(task)
        default: world.feed(.tick)
        }
    }

    /// With a manager all comes to what is wanted, and everything can be taken away.
    private func finish(_ world: inout TaskWorld, _ seed: UInt64) {
        world.setManager(true)
        world.settle()
        world.pass(.seconds(1))
        for probe in world.probes { world.feed(.listens(probe.task, container: probe.container, pid: probe.pid)) }
        world.settle()
        #expect(world.wrongs == [], "seed \(seed)")
        #expect(world.machine.isIdle)
        for task in world.assigned.tasks {
            let status = world.reported[task.id] ?? task.status
            let own = world.containers.values.filter { $0.task == task.id }
            let runs = own.contains { $0.isRunning }
            #expect(own.count <= 1, "seed \(seed): \(task.id) has \(own.count) containers")
            if task.desiredState >= .shutdown || status.state.isOver {
                #expect(status.state.isOver && !runs, "seed \(seed): \(task.id) is \(status)")
            } else if task.desiredState == .running, world.health == nil {
                #expect(runs, "seed \(seed): \(task.id) is \(status)")
            }
        }
        world.assign()
        world.settle()
        world.pass(.seconds(1))
        #expect(world.containers.isEmpty && world.machine.statuses.isEmpty, "seed \(seed): \(world.containers)")
        #expect(world.wrongs == [], "seed \(seed)")
    }
}

extension TaskStep {
    var name: String {
        switch self {
        case .prepare: "prepare"
        case .withdraw: "withdraw"
        case .start: "start"
        case .shutDown: "shutDown"
        case .remove: "remove"
        }
    }
}
