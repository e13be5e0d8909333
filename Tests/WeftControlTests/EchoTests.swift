import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("What nodes are told of their tasks")
struct EchoTests {
    @Test("A node is told of its tasks what it does not know: not what it said itself, but their end")
    func echoes() throws {
        var swarm = try Swarm.withWorkers(1)
        let node = NodeID("w1")
        let service = try swarm.serve("web")
        let task = try #require(swarm.tasks(service.id).first)
        #expect(try swarm.assignments(node)[ServiceTask.self].put.map(\.id) == [task.id])
        swarm.sent = []
        for state in [TaskState.accepted, .preparing, .ready, .starting, .running] { try swarm.report(task, state) }
        #expect(swarm.tasks(service.id).first?.status.state == .running && swarm.sent.isEmpty)
        // Who comes back hears nothing either, as nothing is new.
        swarm.connect(node)
        var description = try #require(swarm.replica.node(node)?.description)
        description.routes = []
        swarm.say(
            .hello(
                description, dataPathAddress: try address("172.30.0.3"), appliedRevision: swarm.replica.revision, endpoints: []),
            as: node)
        #expect(try swarm.assignments(node)[ServiceTask.self].isEmpty)
        swarm.sent = []
        try swarm.report(task, .failed)
        let told = try swarm.assignments(node)[ServiceTask.self].put
        #expect(told.contains { $0.id == task.id && $0.desiredState == .shutdown } && told.count == 2)
        swarm.sent = []
        let job = try swarm.serve("job", .replicatedJob(concurrent: 1, total: 1))
        try swarm.report(try #require(swarm.tasks(job.id).first), .running)
        swarm.sent = []
        try swarm.report(try #require(swarm.tasks(job.id).first), .complete)
        #expect(try swarm.assignments(node)[ServiceTask.self].put.map(\.status.state) == [.complete])
    }
}
