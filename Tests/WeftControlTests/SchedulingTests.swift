import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Nodes for tasks")
struct SchedulingTests {
    private func problem(_ swarm: Swarm, _ service: Service) throws -> String {
        try #require(swarm.wanted(service.id).first?.status.problem)
    }

    @Test("Constraints are of nodes' ids, names, roles, platforms, addresses and labels")
    func constraints() throws {
        var swarm = try Swarm.withWorkers(2)
        try swarm.setNode(NodeID("w2")) { $0.labels = ["zone": "b", "Case": "x"] }
        let met = [
            "node.id==w2", "node.hostname == HOST-w2", "node.role != manager", "node.labels.zone==B", "node.labels.none != 1",
            "node.platform.os==linux", "node.platform.arch==x86_64", "NODE.ID!=w1", "node.labels.Case==X",
        ]
        let service = try swarm.serve("web", .replicated(3)) { $0.task.placement.constraints = met }
        #expect(swarm.tasks(service.id).map(\.node) == Array(repeating: NodeID("w2"), count: 3))
        for (index, text) in ["node.id==w3", "node.labels.case==x", "node.labels.zone!=b", "node.unknown==1", "engine.labels.a==1"]
            .enumerated()
        {
            let service = try swarm.serve("no\(index)") { $0.task.placement.constraints = [text, "node.id==w2"] }
            #expect(swarm.tasks(service.id).map(\.status.state) == [.pending], "\(text)")
            #expect(try problem(swarm, service).contains("scheduling constraints not satisfied on 2 nodes"))
        }
    }

    @Test("What keeps nodes from a task is said with it, most of it first, and it runs as soon as it can")
    func reasons() throws {
        var swarm = try Swarm.withWorkers(3)
        let service = try swarm.serve("web") { $0.task.placement.constraints = ["node.labels.disk==ssd"] }
        #expect(
            try problem(swarm, service)
                == "no suitable node (scheduling constraints not satisfied on 3 nodes; 1 node not available for new tasks)")
        #expect(swarm.tasks(service.id).first?.status.message == "pending task scheduling")
        try swarm.setNode(NodeID("w3")) { $0.labels["disk"] = "ssd" }
        let task = try #require(swarm.tasks(service.id).first)
        #expect(task.node == NodeID("w3") && task.status.problem == nil && task.status.state == .assigned)
    }

    @Test("Resources that tasks reserve are not reserved twice, and are free again when one ends")
    func resources() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("big", .replicated(5)) { $0.task.reservations.memoryBytes = 6 << 30 }
        #expect(swarm.wanted(service.id).count { $0.status.state == .assigned } == 4)
        let waiting = try #require(swarm.wanted(service.id).first { $0.node == nil })
        #expect(waiting.status.problem?.contains("insufficient resources on 2 nodes") == true)
        try swarm.obey()
        let other = try swarm.serve("cpu", .replicated(3)) { $0.task.reservations.nanoCPUs = 6_000_000_000 }
        #expect(swarm.wanted(other.id).count { $0.node != nil } == 2)
        try swarm.update(service.id) { $0.mode = .replicated(0) }
        #expect(swarm.wanted(service.id).isEmpty)
        let third = try swarm.serve("third") { $0.task.reservations.memoryBytes = 8 << 30 }
        // They have not ended yet.
        #expect(swarm.wanted(third.id).first?.node == nil)
        try swarm.obey()
        swarm.pass(.seconds(1))
        #expect(swarm.wanted(third.id).first?.node != nil)
    }

    @Test("Tasks are spread over the values of a label, then over nodes; no more of them on a node than may be")
    func spread() throws {
        var swarm = try Swarm.withWorkers(4)
        for (name, zone) in [("w1", "a"), ("w2", "b"), ("w3", "b"), ("w4", "b")] {
            try swarm.setNode(NodeID(name)) { $0.labels["zone"] = zone }
        }
        let service = try swarm.serve("web", .replicated(6)) { $0.task.placement.spreads = ["node.labels.zone"] }
        let counts = Dictionary(grouping: swarm.tasks(service.id), by: \.node).mapValues(\.count)
        #expect(counts == [NodeID("w1"): 3, NodeID("w2"): 1, NodeID("w3"): 1, NodeID("w4"): 1])
        let even = try swarm.serve("even", .replicated(4)) { $0.task.placement.spreads = ["com.example.rack"] }
        #expect(Set(swarm.tasks(even.id).compactMap(\.node)).count == 4, "what is no label spreads nothing")
        let gpus = try swarm.serve("gpus") { $0.task.reservations.generic = [GenericResource(kind: "gpu", .count(1))] }
        #expect(swarm.tasks(gpus.id).first?.status.problem?.contains("insufficient resources on 4 nodes") == true)
        let few = try swarm.serve("few", .replicated(9)) { $0.task.placement.maxReplicasPerNode = 2 }
        #expect(swarm.wanted(few.id).count { $0.node != nil } == 8)
        let left = try #require(swarm.wanted(few.id).first { $0.node == nil })
        #expect(left.status.problem?.contains("max replicas per node limit exceed") == true)
    }

    @Test("Tasks on nodes without room count where their label's value is; one label after the other; no label is a value as well")
    func spreadOverFull() throws {
        var swarm = try Swarm.withWorkers(5)
        for (name, zone, rack) in [("w1", "a", "1"), ("w2", "a", "2"), ("w3", "b", "1"), ("w4", "b", "2")] {
            try swarm.setNode(NodeID(name)) { $0.labels = ["zone": zone, "rack": rack] }
        }
        let spreads = ["node.labels.zone", "node.labels.rack"]
        let wide = try swarm.serve("wide", .replicated(12)) { $0.task.placement.spreads = spreads }
        let counts = Dictionary(grouping: swarm.tasks(wide.id), by: \.node).mapValues(\.count)
        #expect(counts == [NodeID("w1"): 2, NodeID("w2"): 2, NodeID("w3"): 2, NodeID("w4"): 2, NodeID("w5"): 4])
        try swarm.setNode(NodeID("w5")) { $0.availability = .drain }
        let few = try swarm.serve("few", .replicated(4)) { $0.task.placement.spreads = spreads }
        try swarm.setNode(NodeID("w1")) { $0.availability = .pause }
        try swarm.update(few.id) { $0.mode = .replicated(6) }
        func zone(_ nodes: String...) -> Int { swarm.wanted(few.id).count { nodes.contains($0.node?.rawValue ?? "") } }
        #expect(zone("w1", "w2") == 3 && zone("w3", "w4") == 3)
    }

    @Test("A paused node keeps what it has, whatever its labels become")
    func paused() throws {
        var swarm = try Swarm.withWorkers(1)
        try swarm.setNode(NodeID("w1")) { $0.labels["zone"] = "a" }
        let service = try swarm.serve("web") { $0.task.placement.constraints = ["node.labels.zone == a"] }
        try swarm.obey()
        try swarm.setNode(NodeID("w1")) {
            $0.availability = .pause
            $0.labels = [:]
        }
        #expect(swarm.wanted(service.id).map(\.node) == [NodeID("w1")])
        try swarm.setNode(NodeID("w1")) { $0.availability = .active }
        #expect(swarm.wanted(service.id).map(\.node) == [nil])
    }

    @Test("Ports that are published at a node alone are one task's there")
    func hostPorts() throws {
        var swarm = try Swarm.withWorkers(2)
        func publish(_ spec: inout ServiceSpec) {
            var port = PortConfig(target: 80)
            port.published = 8080
            port.mode = .host
            spec.endpoint = ServiceEndpointSpec()
            spec.endpoint?.ports = [port]
        }
        let service = try swarm.serve("web", .replicated(3), publish)
        #expect(Set(swarm.wanted(service.id).compactMap(\.node)).count == 2)
        let left = try #require(swarm.wanted(service.id).first { $0.node == nil })
        #expect(left.status.problem?.contains("host-mode port already in use on 2 nodes") == true)
        let other = try swarm.serve("other", .replicated(1), publish)
        #expect(swarm.wanted(other.id).first?.node == nil)
    }

    @Test("Containers need an engine, sandboxes of Weft's do not")
    func engines() throws {
        var swarm = try Swarm.withWorkers(2) { $0.engineVersion = "" }
        let container = try swarm.serve("web")
        #expect(try problem(swarm, container).contains("no container engine on 2 nodes"))
        let sandbox = try swarm.serve("box") {
            $0.task.runtime = .sandbox
            $0.task.container.image = ""
        }
        #expect(swarm.wanted(sandbox.id).first?.node != nil)
        #expect(try swarm.serve("agents", .global).id != container.id)
        let arm = try swarm.serve("arm") {
            $0.task.runtime = .sandbox
            $0.task.placement.platforms = [Platform(architecture: "arm64", os: "linux")]
        }
        #expect(try problem(swarm, arm).contains("unsupported platform on 2 nodes"))
        let amd = try swarm.serve("amd") {
            $0.task.runtime = .sandbox
            $0.task.placement.platforms = [Platform(architecture: "amd64", os: "linux")]
        }
        #expect(swarm.wanted(amd.id).first?.node != nil)
    }
}
