import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("What follows the end of a task")
struct RestartTests {
    private func serve(_ swarm: inout Swarm, _ mode: ServiceMode = .replicated(1), _ change: (inout RestartPolicy) -> Void = { _ in })
        throws
        -> ServiceID
    {
        var policy = RestartPolicy()
        change(&policy)
        return try swarm.serve("web", mode) { $0.task.restart = policy }.id
    }

    private func end(_ swarm: inout Swarm, _ service: ServiceID, _ state: TaskState) throws {
        let task = try #require(swarm.wanted(service).first)
        try swarm.report(task, state)
    }

    @Test("Another task starts when the delay is over, and not before; the first manager need not see it")
    func delay() throws {
        for restarts in [false, true] {
            var swarm = try Swarm.withWorkers(1)
            let service = try serve(&swarm) { $0.delay = 7_000_000_000 }
            try swarm.obey()
            try end(&swarm, service, .failed)
            let next = try #require(swarm.wanted(service).first)
            #expect(next.slot == 1 && next.desiredState == .ready && next.node == NodeID("w1"))
            swarm.live(4)
            if restarts {
                swarm.restart()
                try swarm.comeBack(NodeID("w1"))
            }
            swarm.live(2)
            #expect(swarm.wanted(service).first?.desiredState == .ready)
            swarm.live(2)
            #expect(swarm.wanted(service).first?.desiredState == .running)
            #expect(swarm.tasks(service).map(\.desiredState).sorted() == [.running, .shutdown])
        }
    }

    @Test(
        "What follows a task that never ran says why it waits, and is not prepared before its delay is over",
        arguments: [ServiceMode.replicated(1), .global, .globalJob, .replicatedJob(concurrent: 1, total: 1)])
    func neverRan(_ mode: ServiceMode) throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try serve(&swarm, mode) {
            $0.delay = 7_000_000_000
            $0.condition = .onFailure
        }
        try swarm.report(try #require(swarm.wanted(service).first), .rejected, problem: "No such image: nosuch")
        for _ in 0..<2 {
            swarm.live(3)
            let next = try #require(swarm.wanted(service).first)
            #expect(next.status.state == .new && next.status.problem == "No such image: nosuch" && swarm.tasks(service).count == 2)
        }
        swarm.live(2)
        let next = try #require(swarm.wanted(service).first)
        #expect(next.status.state == .assigned && next.status.problem == nil && swarm.tasks(service).count == 2)
    }

    @Test("Where nothing was said of a delay, what ran for long is followed at once")
    func defaultDelay() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try swarm.serve("web").id
        try swarm.obey()
        try end(&swarm, service, .failed)
        #expect(swarm.wanted(service).first?.desiredState == .ready)
        swarm.live(5)
        try swarm.obey()
        swarm.live(5)
        try end(&swarm, service, .failed)
        #expect(swarm.wanted(service).first?.desiredState == .running)
    }

    @Test("The condition says whether anything follows", arguments: RestartPolicy.Condition.allCases)
    func condition(_ condition: RestartPolicy.Condition) throws {
        for state in [TaskState.complete, .failed, .rejected] {
            var swarm = try Swarm.withWorkers(1)
            let service = try serve(&swarm) { $0.condition = condition }
            try swarm.obey()
            try end(&swarm, service, state)
            let follows = condition == .any || condition == .onFailure && state != .complete
            #expect(swarm.wanted(service).count == (follows ? 1 : 0))
            swarm.restart()
            try swarm.comeBack(NodeID("w1"))
            swarm.live(100)
            #expect(swarm.tasks(service).count == (follows ? 2 : 1))
            try swarm.update(service) { $0.mode = .replicated(2) }
            #expect(swarm.wanted(service).count == (follows ? 2 : 1))
        }
    }

    @Test("No more attempts than may be, within the window")
    func attempts() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try serve(&swarm) {
            $0.delay = 0
            $0.maxAttempts = 2
        }
        for _ in 0..<2 { try end(&swarm, service, .failed) }
        #expect(swarm.wanted(service).count == 1)
        try end(&swarm, service, .failed)
        #expect(swarm.wanted(service).isEmpty && swarm.tasks(service).count == 3)
        // Another spec, other attempts.
        try swarm.update(service) { $0.task.forceUpdate += 1 }
        #expect(swarm.wanted(service).count == 1)

        let patient = try swarm.serve("patient") {
            $0.task.restart = RestartPolicy()
            $0.task.restart?.delay = 0
            $0.task.restart?.maxAttempts = 1
            $0.task.restart?.window = 10_000_000_000
        }.id
        for _ in 0..<5 {
            try end(&swarm, patient, .failed)
            #expect(swarm.wanted(patient).count == 1)
            swarm.live(11)
        }
        try end(&swarm, patient, .failed)
        try end(&swarm, patient, .failed)
        #expect(swarm.wanted(patient).isEmpty)
    }

    @Test("What ended is remembered as long as the limit says, in each slot")
    func history() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try serve(&swarm, .replicated(2)) { $0.delay = 0 }
        for _ in 0..<12 { for task in swarm.wanted(service) { try swarm.report(task, .failed) } }
        let slots = Dictionary(grouping: swarm.tasks(service), by: \.slot)
        #expect(slots.mapValues(\.count) == [1: 5, 2: 5])
        #expect(slots.values.allSatisfy { $0.last?.desiredState == .running })
    }

    @Test("However little is remembered, a restart waits, and what is over stays over", arguments: [0, 1, 5] as [Int64])
    func shortHistory(_ limit: Int64) throws {
        var spec = ClusterSpec()
        spec.taskHistoryRetentionLimit = limit
        var swarm = try Swarm(spec: spec)
        try swarm.addWorker(1)
        let service = try serve(&swarm) { $0.delay = 7_000_000_000 }
        try swarm.obey()
        try end(&swarm, service, .failed)
        swarm.live(6)
        #expect(swarm.wanted(service).map(\.desiredState) == [.ready])
        swarm.live(1)
        #expect(swarm.wanted(service).map(\.desiredState) == [.running])
        #expect(swarm.tasks(service).count == (limit == 5 ? 2 : 1))
        let once = try swarm.serve("once") {
            $0.task.restart = RestartPolicy()
            $0.task.restart?.condition = .none
        }.id
        try end(&swarm, once, .complete)
        swarm.live(10)
        #expect(swarm.tasks(once).map(\.status.state) == [.complete])
    }

    @Test("A window is looked back from the end of a task, however late one looks")
    func window() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try serve(&swarm) {
            $0.delay = 0
            $0.maxAttempts = 1
            $0.window = 10_000_000_000
        }
        for _ in 0..<2 { try end(&swarm, service, .failed) }
        swarm.live(60)
        try swarm.update(service) { $0.labels["a"] = "b" }
        #expect(swarm.wanted(service).isEmpty)
    }

    @Test("A job runs so many tasks at a time until so many have ended well; another update runs it again")
    func job() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("job", .replicatedJob(concurrent: 2, total: 5)).id
        #expect(swarm.wanted(service).map(\.slot) == [1, 2] && swarm.wanted(service).allSatisfy { $0.desiredState == .complete })
        try swarm.report(swarm.wanted(service)[0], .failed)
        #expect(swarm.wanted(service).map(\.slot) == [1, 2])
        swarm.live(6)
        try swarm.obey()
        #expect(swarm.tasks(service).count { $0.status.state == .complete } == 5)
        #expect(swarm.tasks(service).count == 6)
        swarm.restart()
        for node in ["w1", "w2"] { try swarm.comeBack(NodeID(node)) }
        swarm.live(60)
        #expect(swarm.tasks(service).count == 6)
        try swarm.update(service) { $0.task.forceUpdate += 1 }
        #expect(swarm.tasks(service).allSatisfy { $0.jobIteration == 1 } && swarm.tasks(service).count == 2)
        try swarm.obey()
        #expect(swarm.tasks(service).count { $0.status.state == .complete } == 5)
    }

    @Test("A global job runs once on every node, and on those that come")
    func globalJob() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("job", .globalJob).id
        try swarm.obey()
        #expect(swarm.tasks(service).map(\.status.state) == [.complete, .complete])
        try swarm.addWorker(3)
        try swarm.obey()
        #expect(swarm.tasks(service).count == 3 && swarm.tasks(service).allSatisfy { $0.status.state == .complete })
    }

    @Test("Secrets and configs are told to the nodes whose tasks need them, as long as they do")
    func files() throws {
        var swarm = try Swarm.withWorkers(2)
        guard case .secret(let secret) = try swarm.run(.createSecret(SharedFileSpec(name: "key", data: Secret("a2V5")))),
            case .config(let config) = try swarm.run(.createConfig(SharedFileSpec(name: "conf", data: Secret("eA=="))))
        else { throw Swarm.Unexpected(what: "reply") }
        let service = try swarm.serve("web", .replicated(1)) {
            $0.task.container.secrets = [ContainerSpec.FileReference(id: secret.id, name: "key", target: "key")]
            $0.task.container.configs = [ContainerSpec.FileReference(id: config.id, name: "conf", target: "/conf")]
        }
        let node = try #require(swarm.tasks(service.id).first?.node)
        func needed() -> [Set<NodeID>?] {
            [swarm.replica[StoredSecret.self, secret.id]?.neededBy, swarm.replica[StoredConfig.self, config.id]?.neededBy]
        }
        #expect(needed() == [[node], [node]])
        #expect(try swarm.assignments(node)[StoredSecret.self].put.map(\.id) == [secret.id])
        #expect(swarm.events.filter { $0.kind == .secret }.map(\.action) == [.create])
        try swarm.setNode(node) { $0.availability = .drain }
        #expect(needed().allSatisfy { $0?.count == 2 })
        try swarm.obey()
        #expect(needed().allSatisfy { $0?.contains(node) == false && $0?.count == 1 })
        #expect(try swarm.refusal(.removeSecret(secret.id)).message.contains("in use by the following service: web"))
        _ = try swarm.run(.removeService(service.id))
        try swarm.obey()
        #expect(needed() == [[], []])
    }
}
