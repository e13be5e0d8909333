import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("A node that comes back knowing nothing")
struct EmptyHandedTests {
    @Test("It keeps its endpoints until it has heard of them and says which are gone")
    func keeps() throws {
        var swarm = try Swarm()
        let network = try swarm.create("net")
        let node = try swarm.admit("w1")
        try swarm.hello(node, vtep: "172.30.0.2")
        let (first, second) = (try swarm.endpoint("e1", node, network, offset: 2), try swarm.endpoint("e2", node, network, offset: 3))
        swarm.say(.endpointsChanged(added: [first, second], removed: []), as: node)
        try swarm.hello(node, vtep: "172.30.0.2")
        #expect(try swarm.assignments(node).endpoints.map(\.id) == [first.id, second.id])
        swarm.say(.endpointsChanged(added: [], removed: [second.id]), as: node)
        #expect(swarm.replica.endpoints.map(\.id) == [first.id])
        // One that knows what the swarm is like means what it does not say.
        try swarm.hello(node, vtep: "172.30.0.2", applied: swarm.replica.revision)
        #expect(swarm.replica.endpoints.isEmpty)
    }
}
