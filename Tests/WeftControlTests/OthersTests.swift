import Testing
import WeftControl
import WeftModel
import WeftNet

/// A node takes a backend out of rotation, and waits for all others before the backend stops.
@Suite("A node waits until all others have in force what it reported")
struct OthersTests {
    private func swarm() throws -> (Swarm, NodeID, NodeID) {
        var swarm = try Swarm()
        let (one, other) = (try swarm.admit("w1"), try swarm.admit("w2"))
        try swarm.hello(one, vtep: "172.30.0.2")
        try swarm.hello(other, vtep: "172.30.0.3")
        return (swarm, one, other)
    }

    private func isAnswered(_ number: RequestNumber, _ swarm: Swarm) -> Bool {
        swarm.sent.contains { $0.message == .othersFollowed(number) }
    }

    @Test("The others are asked once, and it is answered when the last has it in force")
    func acknowledged() throws {
        var (swarm, one, other) = try swarm()
        let network = try swarm.create("net")
        var endpoint = try swarm.endpoint("web", one, network)
        endpoint.task = ServingTask(service: ServiceID("s"), task: TaskID("t"), slot: 1, rotation: .draining)
        swarm.enqueue(.endpointsChanged(added: [endpoint], removed: []), as: one)
        swarm.say(.awaitsOthers(7), as: one)
        let revision = swarm.replica.revision
        let told = try swarm.assignments(other)
        #expect(told.wantsAcknowledgement && told.revision == revision && told.endpoints.map(\.task) == [endpoint.task])
        #expect(!isAnswered(7, swarm))
        swarm.say(.heartbeat(appliedRevision: revision), as: one)
        // What it had in force before does not count.
        swarm.say(.heartbeat(appliedRevision: Version(revision.index - 1)), as: other)
        #expect(!isAnswered(7, swarm))
        let count = swarm.sent.count
        swarm.say(.heartbeat(appliedRevision: revision), as: other)
        #expect(isAnswered(7, swarm) && swarm.sent.count == count + 1)
    }

    @Test("Who asks later than the others heard of it has them asked by an empty delta")
    func askedLater() throws {
        var (swarm, one, other) = try swarm()
        let network = try swarm.create("net")
        swarm.say(.endpointsChanged(added: [try swarm.endpoint("web", one, network)], removed: []), as: one)
        #expect(try !swarm.assignments(other).wantsAcknowledgement)
        swarm.say(.awaitsOthers(1), as: one)
        let told = try swarm.assignments(other)
        #expect(told.wantsAcknowledgement && told.isEmpty)
        for node in [one, other] { swarm.say(.heartbeat(appliedRevision: swarm.replica.revision), as: node) }
        #expect(isAnswered(1, swarm))
        // They have said it: nobody is asked again.
        let count = swarm.sent.count
        swarm.say(.awaitsOthers(2), as: one)
        #expect(isAnswered(2, swarm) && swarm.sent.count == count + 1)
    }

    @Test("One that does not answer is waited for two seconds, one that is gone not at all")
    func silent() throws {
        var (swarm, one, other) = try swarm()
        swarm.say(.awaitsOthers(1), as: one)
        swarm.say(.heartbeat(appliedRevision: swarm.replica.revision), as: one)
        swarm.pass(.seconds(1))
        #expect(!isAnswered(1, swarm))
        swarm.pass(.seconds(1))
        #expect(isAnswered(1, swarm))
        _ = try swarm.create("net")
        swarm.say(.awaitsOthers(2), as: one)
        swarm.say(.heartbeat(appliedRevision: swarm.replica.revision), as: one)
        #expect(!isAnswered(2, swarm))
        swarm.disconnect(other)
        #expect(isAnswered(2, swarm))
    }

    @Test("Whose session ended is answered no more")
    func sessionEnded() throws {
        var (swarm, one, other) = try swarm()
        swarm.say(.awaitsOthers(1), as: one)
        try swarm.hello(one, vtep: "172.30.0.2")
        swarm.say(.heartbeat(appliedRevision: swarm.replica.revision), as: other)
        swarm.pass(.seconds(3))
        #expect(!isAnswered(1, swarm))
    }
}
