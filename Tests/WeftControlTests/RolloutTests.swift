import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Updates of services")
struct RolloutTests {
    private func serve(_ swarm: inout Swarm, _ count: UInt64, _ change: (inout UpdateConfig) -> Void = { _ in }) throws -> ServiceID {
        var config = UpdateConfig()
        config.monitor = 0
        change(&config)
        let service = try swarm.serve("web", .replicated(count)) {
            $0.update = config
            $0.rollback = config
            $0.task.restart = RestartPolicy()
        }
        try swarm.obey()
        return service.id
    }

    private func renew(_ swarm: inout Swarm, _ service: ServiceID, _ image: String = "app:2") throws {
        try swarm.update(service) { $0.task.container.image = image }
    }

    /// Images of the tasks that are to run, by slot.
    private func images(_ swarm: Swarm, _ service: ServiceID) -> [String] { swarm.wanted(service).map(\.spec.container.image) }
    private func state(_ swarm: Swarm, _ service: ServiceID) throws -> UpdateStatus.State? {
        try swarm.service(service).updateStatus?.state
    }

    @Test("One after the other, each stopped before the next starts")
    func stopFirst() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 3)
        try renew(&swarm, service)
        let status = try #require(try swarm.service(service).updateStatus)
        #expect(status.state == .updating && status.message == "update in progress")
        for done in 0..<3 {
            let expected = Array(repeating: "app:2", count: done + 1) + Array(repeating: "app:1", count: 2 - done)
            #expect(images(swarm, service) == expected)
            let new = swarm.wanted(service)[done]
            #expect(new.desiredState == .ready)
            let old = try #require(swarm.tasks(service).first { $0.slot == new.slot && $0.desiredState == .shutdown })
            try swarm.report(new, .ready)
            try swarm.report(old, .shutdown)
            #expect(swarm.wanted(service)[done].desiredState == .running)
            #expect(images(swarm, service) == expected)
            try swarm.report(new, .running)
        }
        let end = try #require(try swarm.service(service).updateStatus)
        #expect(end.state == .completed && end.message == "update completed" && end.completedAt == swarm.now)
        #expect(images(swarm, service) == ["app:2", "app:2", "app:2"])
    }

    @Test("With start-first the old task runs until the new one does")
    func startFirst() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 2) { $0.order = .startFirst }
        try renew(&swarm, service)
        #expect(images(swarm, service).sorted() == ["app:1", "app:1", "app:2"])
        let new = try #require(swarm.wanted(service).first { $0.spec.container.image == "app:2" })
        #expect(new.desiredState == .running)
        try swarm.report(new, .starting)
        #expect(swarm.wanted(service).count == 3)
        try swarm.report(new, .running)
        let old = try #require(swarm.tasks(service).first { $0.slot == new.slot && $0.id != new.id })
        #expect(old.desiredState == .shutdown && old.status.state == .running)
        try swarm.obey()
        #expect(images(swarm, service) == ["app:2", "app:2"])
        #expect(try state(swarm, service) == .completed)
    }

    @Test("So many at a time, with a delay after each, by whichever manager")
    func parallelismAndDelay() throws {
        for restarts in [false, true] {
            var swarm = try Swarm.withWorkers(2)
            let service = try serve(&swarm, 5) {
                $0.parallelism = 2
                $0.delay = 10_000_000_000
            }
            func new() -> Int { images(swarm, service).count { $0 == "app:2" } }
            try renew(&swarm, service)
            try swarm.obey()
            #expect(new() == 2)
            swarm.live(6)
            if restarts {
                swarm.restart()
                for node in ["w1", "w2"] { try swarm.comeBack(NodeID(node)) }
            }
            swarm.live(3)
            #expect(new() == 2)
            swarm.live(1)
            try swarm.obey()
            #expect(new() == 4)
            swarm.live(10)
            try swarm.obey()
            #expect(new() == 5)
            #expect(try state(swarm, service) == .updating)
            swarm.live(10)
            #expect(try state(swarm, service) == .completed)
        }
    }

    @Test("All at once, where the parallelism is 0")
    func allAtOnce() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 5) { $0.parallelism = 0 }
        try renew(&swarm, service)
        #expect(Set(images(swarm, service)) == ["app:2"])
    }

    @Test("What a pause left between two tasks ends with one")
    func pauseBetweenTasks() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 3) {
            $0.order = .startFirst
            $0.parallelism = 2
        }
        try renew(&swarm, service)
        let new = swarm.wanted(service).filter { $0.spec.container.image == "app:2" }
        try #require(new.count == 2)
        try swarm.report(new[0], .rejected, problem: "No such image: app:2")
        #expect(try state(swarm, service) == .paused)
        #expect(swarm.wanted(service).count { $0.slot == new[1].slot } == 2)
        try swarm.report(new[1], .running)
        #expect(swarm.wanted(service).filter { $0.slot == new[1].slot }.map(\.id) == [new[1].id])
        #expect(swarm.wanted(service).count == 3)
    }

    @Test("Where both tasks of a place are what a newer spec asks for, one of them ends")
    func bothAreAsked() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 1) { $0.order = .startFirst }
        let former = try #require(swarm.wanted(service).first)
        let other = NodeID(former.node == NodeID("w1") ? "w2" : "w1")
        try swarm.setNode(other) { $0.labels["zone"] = "a" }
        try swarm.update(service) { $0.task.placement.constraints = ["node.labels.zone == a"] }
        let new = try #require(swarm.wanted(service).first { $0.id != former.id })
        try #require(new.node == other)
        try swarm.report(new, .ready)
        try swarm.update(service) { $0.task.placement.constraints = [] }
        try swarm.obey()
        #expect(swarm.wanted(service).map(\.id) == [former.id])
    }

    @Test("On a node that is paused meanwhile, too, one of two tasks ends")
    func pausedNode() throws {
        var swarm = try Swarm.withWorkers(1)
        var config = UpdateConfig()
        config.order = .startFirst
        let service = try swarm.serve("web", .global) { $0.update = config }.id
        try swarm.obey()
        try renew(&swarm, service)
        let node = NodeID("w1")
        try swarm.setNode(node) { $0.availability = .pause }
        let new = try #require(swarm.wanted(service).first { $0.node == node && $0.spec.container.image == "app:2" })
        try swarm.report(new, .running)
        #expect(swarm.wanted(service).filter { $0.node == node }.map(\.id) == [new.id])
    }

    @Test("A failure pauses the update; the next one goes on")
    func pause() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 3)
        try renew(&swarm, service)
        let failed = try #require(swarm.wanted(service).first { $0.spec.container.image == "app:2" })
        try swarm.report(failed, .rejected, problem: "No such image: app:2")
        let status = try #require(try swarm.service(service).updateStatus)
        #expect(status.state == .paused)
        #expect(status.message == "update paused due to failure or early termination of task \(failed.id)")
        swarm.live(60)
        try swarm.obey()
        #expect(images(swarm, service).count { $0 == "app:1" } == 2)
        try renew(&swarm, service, "app:3")
        for _ in 0..<3 {
            try swarm.obey()
            swarm.live(1)
        }
        #expect(images(swarm, service) == ["app:3", "app:3", "app:3"])
        #expect(try state(swarm, service) == .completed)
    }

    @Test("A failure beyond the ratio rolls back, as the rollback's settings say; a rollback is not rolled back")
    func rollBack() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 4) {
            $0.failureAction = .rollback
            $0.maxFailureRatio = 0.25
        }
        let before = try swarm.service(service)
        try renew(&swarm, service)
        func newest() throws -> ServiceTask {
            try #require(swarm.wanted(service).first { $0.spec.container.image == "app:2" && $0.status.state < .running })
        }
        try swarm.report(try newest(), .failed)
        #expect(try state(swarm, service) == .updating)
        let second = try #require(
            swarm.wanted(service).first { $0.spec.container.image == "app:2" && $0.slot == 2 })
        try swarm.report(second, .failed)
        let status = try #require(try swarm.service(service).updateStatus)
        #expect(status.state == .rollbackStarted)
        #expect(status.message.hasPrefix("update rolled back due to failure or early termination of task "))
        let after = try swarm.service(service)
        #expect(after.spec == before.spec && after.specVersion == before.specVersion && after.previousSpec == nil)
        for _ in 0..<3 {
            try swarm.obey()
            swarm.live(6)
        }
        #expect(images(swarm, service) == Array(repeating: "app:1", count: 4))
        #expect(try swarm.service(service).updateStatus?.message == "rollback completed")
    }

    @Test("A failure after the monitor's time is a task's end as any")
    func monitor() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 1) { $0.monitor = 5_000_000_000 }
        try renew(&swarm, service)
        try swarm.obey()
        #expect(try state(swarm, service) == .updating)
        swarm.live(6)
        #expect(try state(swarm, service) == .completed)
        try swarm.report(swarm.wanted(service)[0], .failed)
        #expect(try state(swarm, service) == .completed)
    }

    @Test("With continue it goes on, and what failed is restarted as ever")
    func goesOn() throws {
        for order in [UpdateConfig.Order.stopFirst, .startFirst] {
            var swarm = try Swarm.withWorkers(2)
            let service = try serve(&swarm, 2) {
                $0.failureAction = .continue
                $0.order = order
            }
            try renew(&swarm, service)
            for _ in 0..<2 {
                let new = try #require(swarm.wanted(service).first { $0.spec.container.image == "app:2" && $0.status.state < .running })
                try swarm.report(new, .failed)
                swarm.live(1)
            }
            for _ in 0..<4 {
                swarm.live(6)
                try swarm.obey()
            }
            #expect(images(swarm, service) == ["app:2", "app:2"])
            #expect(try state(swarm, service) == .completed)
        }
    }

    @Test("A rollback by hand, a new update in the middle of one, and one that changes no task")
    func byHand() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, 3)
        try renew(&swarm, service)
        try swarm.report(try #require(swarm.wanted(service).first { $0.spec.container.image == "app:2" }), .ready)
        try renew(&swarm, service, "app:3")
        try swarm.obey()
        #expect(images(swarm, service) == ["app:3", "app:3", "app:3"])
        let current = try swarm.service(service)
        _ = try swarm.run(.updateService(service, version: current.version, nil))
        #expect(try swarm.service(service).updateStatus?.message == "manually requested rollback")
        try swarm.obey()
        #expect(images(swarm, service) == ["app:2", "app:2", "app:2"])
        #expect(try state(swarm, service) == .rollbackCompleted)
        let ids = swarm.wanted(service).map(\.id)
        try swarm.update(service) { $0.labels["a"] = "b" }
        #expect(swarm.wanted(service).map(\.id) == ids)
        #expect(try state(swarm, service) == nil)
        try swarm.update(service) { $0.task.forceUpdate += 1 }
        try swarm.obey()
        #expect(Set(swarm.wanted(service).map(\.id)).isDisjoint(with: ids))
    }

    @Test("A global service is updated node by node")
    func global() throws {
        var swarm = try Swarm.withWorkers(3)
        let service = try swarm.serve("agent", .global) {
            $0.update = UpdateConfig()
            $0.update?.monitor = 0
        }.id
        try swarm.obey()
        try renew(&swarm, service)
        #expect(images(swarm, service).count { $0 == "app:2" } == 1)
        try swarm.obey()
        #expect(images(swarm, service) == ["app:2", "app:2", "app:2"])
        #expect(try state(swarm, service) == .completed)
    }
}
