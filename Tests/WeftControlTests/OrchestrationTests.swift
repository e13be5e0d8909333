import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Tasks of services: how many, and where")
struct OrchestrationTests {
    @Test("A replicated service gets its tasks at once, spread over nodes, and their nodes hear of them")
    func replicated() throws {
        var swarm = try Swarm.withWorkers(3)
        let service = try swarm.serve("web", .replicated(6))
        let tasks = swarm.tasks(service.id)
        #expect(tasks.map(\.slot) == [1, 2, 3, 4, 5, 6])
        #expect(tasks.allSatisfy { $0.status.state == .assigned && $0.desiredState == .running })
        #expect(Dictionary(grouping: tasks, by: \.node).mapValues(\.count).values.sorted() == [2, 2, 2])
        for task in tasks {
            let node = try #require(task.node)
            #expect(try swarm.assignments(node)[ServiceTask.self].put.contains { $0.id == task.id })
        }
        #expect(tasks.first?.status.message == "scheduler assigned task to node")
    }

    @Test("Scaling up adds slots; scaling down removes what does not run, then from the fullest nodes, then the last slots")
    func scaling() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("web", .replicated(2))
        try swarm.update(service.id) { $0.mode = .replicated(5) }
        #expect(swarm.wanted(service.id).map(\.slot) == [1, 2, 3, 4, 5])
        try swarm.obey()
        // The first slot's task does not run any more, and waits for its restart.
        try swarm.report(swarm.wanted(service.id)[0], .failed)
        try swarm.update(service.id) { $0.mode = .replicated(4) }
        #expect(swarm.wanted(service.id).map(\.slot) == [2, 3, 4, 5])
        try swarm.update(service.id) { $0.mode = .replicated(2) }
        let left = swarm.wanted(service.id)
        #expect(Set(left.compactMap(\.node)).count == 2 && left.map(\.slot) == [2, 3])
        // What is to go is told to end, and its record goes once it has.
        #expect(swarm.tasks(service.id).filter { $0.desiredState == .remove && $0.status.state == .running }.count == 2)
        try swarm.obey()
        #expect(swarm.tasks(service.id).map(\.slot) == [2, 3])
        try swarm.update(service.id) { $0.mode = .replicated(0) }
        try swarm.obey()
        #expect(swarm.tasks(service.id).isEmpty)
    }

    @Test("However many are wanted, one transaction takes no more of them than may be")
    func many() throws {
        var swarm = try Swarm.withWorkers(3)
        let before = swarm.commits
        let service = try swarm.serve("many", .replicated(5000))
        #expect(swarm.tasks(service.id).count == 5000 && swarm.wanted(service.id).allSatisfy { $0.node != nil })
        #expect(swarm.commits - before >= 3)
        #expect(swarm.largestCommit <= 2100)
    }

    @Test("However many are to be replaced or to go, one transaction takes no more of them than may be")
    func manyGo() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try swarm.serve("many", .replicated(2200)) { spec in
            spec.update = UpdateConfig()
            spec.update?.parallelism = 0
        }
        try swarm.update(service.id) { $0.task.container.image = "other" }
        #expect(swarm.wanted(service.id).allSatisfy { $0.spec.container.image == "other" })
        try swarm.update(service.id) { $0.mode = .replicated(1100) }
        #expect(swarm.wanted(service.id).count == 1100)
        _ = try swarm.run(.removeService(service.id))
        #expect(swarm.wanted(service.id).isEmpty)
        #expect(swarm.largestCommit <= 2100)
    }

    @Test("A global service has a task on every node that it may run on, and follows as they come and go")
    func global() throws {
        var swarm = try Swarm.withWorkers(2)
        try swarm.setNode(NodeID("w2")) { $0.labels["disk"] = "ssd" }
        let everywhere = try swarm.serve("agent", .global)
        let some = try swarm.serve("fast", .global) { $0.task.placement.constraints = ["node.labels.disk == SSD"] }
        #expect(Set(swarm.tasks(everywhere.id).compactMap(\.node)) == [NodeID("w1"), NodeID("w2")])
        #expect(swarm.tasks(some.id).map(\.node) == [NodeID("w2")])
        #expect(swarm.tasks(some.id).allSatisfy { $0.slot == 0 && $0.status.state == .assigned })
        try swarm.obey()
        let third = try swarm.addWorker(3) { $0.hostname = "three" }
        #expect(swarm.wanted(everywhere.id).contains { $0.node == third } && swarm.wanted(some.id).count == 1)
        try swarm.setNode(third) { $0.labels["disk"] = "ssd" }
        #expect(swarm.wanted(some.id).contains { $0.node == third })
        try swarm.setNode(NodeID("w2")) { $0.labels = [:] }
        #expect(swarm.wanted(some.id).map(\.node) == [third])
        #expect(swarm.tasks(some.id).first { $0.node == NodeID("w2") }?.status.problem == "assigned node no longer meets constraints")
        try swarm.setNode(third) { $0.availability = .drain }
        #expect(swarm.wanted(some.id).isEmpty && swarm.wanted(everywhere.id).count == 2)
    }

    @Test("A removed service's tasks are told to end, and their records go")
    func removal() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("web", .replicated(4))
        try swarm.obey()
        _ = try swarm.run(.removeService(service.id))
        #expect(swarm.tasks(service.id).allSatisfy { $0.desiredState == .remove } && swarm.tasks(service.id).count == 4)
        try swarm.obey()
        #expect(swarm.tasks(service.id).isEmpty)
    }

    @Test("Tasks of a node that is drained, down or removed run elsewhere; on one that is paused they stay")
    func nodes() throws {
        var swarm = try Swarm.withWorkers(3)
        let service = try swarm.serve("web", .replicated(3))
        try swarm.obey()
        func places() -> [NodeID] { swarm.wanted(service.id).compactMap(\.node).sorted() }
        try swarm.setNode(NodeID("w1")) { $0.availability = .pause }
        #expect(places() == [NodeID("w1"), NodeID("w2"), NodeID("w3")])
        try swarm.setNode(NodeID("w2")) { $0.availability = .drain }
        #expect(places() == [NodeID("w1"), NodeID("w3"), NodeID("w3")])
        // The new one waits for the old one's end.
        #expect(swarm.wanted(service.id).filter { $0.desiredState == .ready }.count == 1)
        try swarm.obey()
        #expect(swarm.wanted(service.id).allSatisfy { $0.status.state == .running })
        try swarm.setNode(NodeID("w1")) { $0.availability = .active }
        // Nothing is heard of the third.
        for _ in 0..<20 {
            swarm.say(.heartbeat(appliedRevision: .none), as: NodeID("w1"))
            swarm.say(.heartbeat(appliedRevision: .none), as: NodeID("w2"))
            swarm.pass(.seconds(1))
        }
        #expect(places() == [NodeID("w1"), NodeID("w1"), NodeID("w1")])
        try swarm.obey()
        #expect(swarm.wanted(service.id).allSatisfy { $0.status.state == .running && $0.node == NodeID("w1") })
        // What was on it ends there once it is back.
        try swarm.comeBack(NodeID("w3"))
        let old = swarm.tasks(service.id).filter { $0.node == NodeID("w3") }
        #expect(!old.isEmpty && old.allSatisfy { $0.desiredState == .shutdown })
    }

    @Test("A node that is removed loses its tasks for good")
    func removedNode() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("web", .replicated(2))
        try swarm.obey()
        _ = try swarm.run(.removeNode(NodeID("w2"), force: true))
        #expect(swarm.wanted(service.id).map(\.node) == [NodeID("w1"), NodeID("w1")])
        let lost = try #require(swarm.tasks(service.id).first { $0.node == NodeID("w2") })
        #expect(lost.status.state == .orphaned && lost.desiredState == .shutdown)
    }

    @Test("Tasks of a node that is away for a day are orphaned, also by a manager that did not see it go")
    func orphans() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("web", .replicated(2))
        try swarm.obey()
        for _ in 0..<30 {
            swarm.say(.heartbeat(appliedRevision: .none), as: NodeID("w1"))
            swarm.pass(.seconds(1))
        }
        func lost() -> TaskState? { swarm.tasks(service.id).first { $0.node == NodeID("w2") }?.status.state }
        #expect(lost() == .running)
        for _ in 0..<12 { swarm.pass(.seconds(3600)) }
        #expect(lost() == .running)
        swarm.restart()
        for _ in 0..<13 { swarm.pass(.seconds(3600)) }
        #expect(lost() == .orphaned)
    }

    @Test("Nodes hear of a service what they find it by, and nothing of how its update goes")
    func told() throws {
        var swarm = try Swarm.withWorkers(1)
        let node = NodeID("w1")
        let service = try swarm.serve("web", .replicated(0))
        #expect(try swarm.assignments(node)[ServiceView.self].put.map(\.id) == [service.id])
        swarm.sent = []
        try swarm.update(service.id) { $0.labels["owner"] = "me" }
        #expect(swarm.sent.isEmpty)
        try swarm.update(service.id) { $0.labels[ServiceView.labelPrefix + "affinity"] = "source" }
        #expect(try swarm.assignments(node)[ServiceView.self].put.map(\.labels) == [[ServiceView.labelPrefix + "affinity": "source"]])
        _ = try swarm.run(.removeService(service.id))
        #expect(try swarm.assignments(node)[ServiceView.self].removed == [service.id])
    }
}
