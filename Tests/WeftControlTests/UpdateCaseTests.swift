import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Updates in the midst of other things")
struct UpdateCaseTests {
    private func serve(
        _ swarm: inout Swarm, _ mode: ServiceMode, _ change: (inout ServiceSpec) -> Void = { _ in }
    ) throws -> ServiceID {
        let id = try swarm.serve("web", mode) {
            $0.update = UpdateConfig()
            $0.update?.monitor = 0
            $0.rollback = $0.update
            $0.task.restart = RestartPolicy()
            change(&$0)
        }.id
        try swarm.obey()
        return id
    }

    private func images(_ swarm: Swarm, _ service: ServiceID) -> [String] { swarm.wanted(service).map(\.spec.container.image) }
    private func ids(_ swarm: Swarm, _ service: ServiceID) -> [TaskID] { swarm.wanted(service).map(\.id) }
    private func state(_ swarm: Swarm, _ service: ServiceID) throws -> UpdateStatus.State? {
        try swarm.service(service).updateStatus?.state
    }
    private func renew(_ swarm: inout Swarm, _ service: ServiceID, _ image: String = "app:2") throws {
        try swarm.update(service) { $0.task.container.image = image }
    }

    @Test("A constraint replaces the tasks that do not meet it, and no others; what is over stays over")
    func placement() throws {
        var swarm = try Swarm.withWorkers(2)
        try swarm.setNode(NodeID("w1")) { $0.labels["zone"] = "a" }
        let service = try serve(&swarm, .replicated(2))
        let kept = try #require(swarm.wanted(service).first { $0.node == NodeID("w1") }).id
        try swarm.update(service) { $0.task.placement.constraints = ["node.labels.zone == a"] }
        try swarm.obey()
        #expect(ids(swarm, service).contains(kept) && swarm.wanted(service).allSatisfy { $0.node == NodeID("w1") })
        let both = ids(swarm, service)
        try swarm.update(service) { $0.task.placement.spreads = ["node.labels.zone"] }
        #expect(ids(swarm, service) == both)
        #expect(try swarm.wanted(service).allSatisfy { try $0.specVersion == swarm.service(service).specVersion })
        // What is asked of their node is what the newest spec says.
        try swarm.setNode(NodeID("w2")) { $0.labels["zone"] = "a" }
        try swarm.setNode(NodeID("w1")) { $0.labels = [:] }
        #expect(swarm.wanted(service).allSatisfy { $0.node == NodeID("w2") })

        let done = try swarm.serve("once") {
            $0.task.restart = RestartPolicy()
            $0.task.restart?.condition = .onFailure
        }.id
        try swarm.obey()
        try swarm.report(swarm.wanted(done)[0], .complete)
        try swarm.update(done) { $0.task.placement.maxReplicasPerNode = 3 }
        #expect(swarm.wanted(done).isEmpty && swarm.tasks(done).count == 1)
    }

    @Test("Other credentials for a registry replace no task that has its image, and those that have not")
    func credentials() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, .replicated(2)) { $0.task.container.registryCredentials = Secret("old") }
        let before = ids(swarm, service)
        try swarm.update(service) { $0.task.container.registryCredentials = Secret("new") }
        #expect(ids(swarm, service) == before)
        #expect(swarm.wanted(service).allSatisfy { $0.spec.container.registryCredentials?.exposed == "new" })
        #expect(try swarm.wanted(service).allSatisfy { try $0.specVersion == swarm.service(service).specVersion })

        let other = try swarm.serve("other") { $0.task.container.registryCredentials = Secret("wrong") }.id
        let stuck = try #require(swarm.wanted(other).first)
        try swarm.report(stuck, .preparing)
        try swarm.update(other) { $0.task.container.registryCredentials = Secret("right") }
        try swarm.obey()
        #expect(!ids(swarm, other).contains(stuck.id))
        #expect(swarm.wanted(other).map { $0.spec.container.registryCredentials?.exposed } == ["right"])
    }

    @Test("An update that is taken back by another leaves alone what it had not come to")
    func takenBack() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, .replicated(3))
        let before = ids(swarm, service)
        try renew(&swarm, service)
        try renew(&swarm, service, "app:1")
        try swarm.obey()
        #expect(images(swarm, service) == ["app:1", "app:1", "app:1"])
        #expect(Set(ids(swarm, service)).intersection(before).count == 2)
        #expect(try state(swarm, service) == .completed)
    }

    @Test("What was rolled back by hand can be rolled back; what failed cannot")
    func rollbackOfRollback() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, .replicated(1)) { $0.update?.failureAction = .rollback }
        try renew(&swarm, service)
        try swarm.obey()
        for image in ["app:1", "app:2", "app:1"] {
            let version = try swarm.service(service).version
            _ = try swarm.run(.updateService(service, version: version, nil))
            try swarm.obey()
            #expect(images(swarm, service) == [image])
            #expect(try state(swarm, service) == .rollbackCompleted)
        }
        try renew(&swarm, service, "app:3")
        try swarm.report(try #require(swarm.wanted(service).first { $0.spec.container.image == "app:3" }), .rejected)
        #expect(try state(swarm, service) == .rollbackStarted)
        let current = try swarm.service(service)
        #expect(current.spec.task.container.image == "app:1")
        #expect(
            try swarm.refusal(.updateService(service, version: current.version, nil)).message.hasSuffix("does not have a previous spec"))
    }

    @Test("On a paused node a global service's task is left alone, and follows when the node is active again")
    func pausedNode() throws {
        var swarm = try Swarm.withWorkers(3)
        let service = try serve(&swarm, .global)
        func image(_ node: String) -> String? { swarm.wanted(service).first { $0.node == NodeID(node) }?.spec.container.image }
        try swarm.setNode(NodeID("w2")) { $0.availability = .pause }
        try renew(&swarm, service)
        try swarm.obey()
        #expect(image("w1") == "app:2" && image("w2") == "app:1" && image("w3") == "app:2")
        #expect(try state(swarm, service) == .completed)
        try swarm.setNode(NodeID("w2")) { $0.availability = .active }
        try swarm.obey()
        #expect(image("w2") == "app:2" && swarm.wanted(service).allSatisfy { $0.status.state == .running })
        #expect(try state(swarm, service) == .completed)
    }

    @Test("A global service leaves the nodes that a new constraint excludes, and its update ends")
    func globalConstraint() throws {
        var swarm = try Swarm.withWorkers(3)
        let service = try serve(&swarm, .global)
        let before = ids(swarm, service)
        try swarm.update(service) { $0.task.placement.constraints = ["node.id != w1"] }
        #expect(swarm.wanted(service).compactMap(\.node).sorted() == [NodeID("w2"), NodeID("w3")])
        #expect(Set(ids(swarm, service)).isSubset(of: before))
        try swarm.update(service) {
            $0.task.container.image = "app:2"
            $0.task.placement.constraints = ["node.id == w3"]
        }
        try swarm.obey()
        #expect(swarm.wanted(service).map(\.node) == [NodeID("w3")] && images(swarm, service) == ["app:2"])
        #expect(try state(swarm, service) == .completed)
        try swarm.update(service) { $0.task.placement.constraints = [] }
        try swarm.obey()
        #expect(images(swarm, service) == ["app:2", "app:2", "app:2"])
    }

    @Test("An update goes on when a node goes with what it had made there", arguments: [ServiceMode.replicated(3), .global])
    func nodeGoes(_ mode: ServiceMode) throws {
        for order in [UpdateConfig.Order.stopFirst, .startFirst] {
            var swarm = try Swarm.withWorkers(3)
            let service = try serve(&swarm, mode) { $0.update?.order = order }
            try renew(&swarm, service)
            let made = try #require(swarm.wanted(service).first { $0.spec.container.image == "app:2" })
            let node = try #require(made.node)
            try swarm.report(made, .preparing)
            swarm.disconnect(node)
            try swarm.obey()
            swarm.live(20)
            #expect(swarm.replica.node(node)?.state == .down)
            for _ in 0..<5 { try swarm.obey() }
            #expect(images(swarm, service) == Array(repeating: "app:2", count: mode == .global ? 2 : 3), "\(order)")
            #expect(try state(swarm, service) == .completed, "\(order)")
        }
    }

    @Test("Replicas that find no node, or are new, keep no other from being updated")
    func unplaced() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try serve(&swarm, .replicated(3)) { $0.task.placement.maxReplicasPerNode = 1 }
        #expect(swarm.wanted(service).count { $0.node == nil } == 1)
        try renew(&swarm, service)
        try swarm.obey()
        #expect(images(swarm, service) == ["app:2", "app:2", "app:2"])
        try swarm.update(service) {
            $0.mode = .replicated(6)
            $0.task.container.image = "app:3"
        }
        try swarm.obey()
        #expect(Set(images(swarm, service)) == ["app:3"] && images(swarm, service).count == 6)
        #expect(try state(swarm, service) == .completed)
    }

    @Test("An update that is held up with start-first goes on with stop-first")
    func orderChanges() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try serve(&swarm, .replicated(1)) {
            $0.task.reservations.memoryBytes = 10 << 30
            $0.update?.order = .startFirst
        }
        try renew(&swarm, service)
        #expect(swarm.wanted(service).contains { $0.status.problem?.contains("insufficient resources") == true })
        try swarm.update(service) { $0.update?.order = .stopFirst }
        try swarm.obey()
        swarm.pass(.seconds(1))
        try swarm.obey()
        #expect(swarm.wanted(service).map(\.status.state) == [.running] && images(swarm, service) == ["app:2"])
    }

    @Test("A replica without a node gives way to the new one, whatever the order")
    func pendingFormer() throws {
        var swarm = try Swarm.withWorkers(1)
        let first = try swarm.serve("first") { $0.task.reservations.memoryBytes = 10 << 30 }.id
        let service = try serve(&swarm, .replicated(1)) {
            $0.task.reservations.memoryBytes = 10 << 30
            $0.update?.order = .startFirst
        }
        try renew(&swarm, service)
        #expect(images(swarm, service) == ["app:2"] && swarm.wanted(service).map(\.node) == [nil])
        _ = try swarm.run(.removeService(first))
        try swarm.obey()
        swarm.pass(.seconds(1))
        try swarm.obey()
        #expect(images(swarm, service) == ["app:2"] && swarm.wanted(service).map(\.status.state) == [.running])
    }

    @Test("While there is no address for new tasks the old ones go on, and what is published with them")
    func noAddress() throws {
        var swarm = try Swarm.withWorkers(1)
        let small = try swarm.create("small") { $0.ipam = IPAMConfig(subnet: try prefix("192.168.9.0/30")) }
        for lease in swarm.replica.leases where lease.network == small.id { swarm.say(.leasesReturned([lease.id]), as: lease.node) }
        let first = try swarm.serve("first") { $0.task.networks = [TaskNetwork(target: small.id.rawValue)] }
        let service = try serve(&swarm, .replicated(2)) {
            $0.update?.parallelism = 0
            $0.endpoint = ServiceEndpointSpec()
            $0.endpoint?.ports = [PortConfig(target: 80)]
        }
        try swarm.update(service) {
            $0.task.networks = [TaskNetwork(target: small.id.rawValue)]
            $0.task.container.image = "app:2"
        }
        try swarm.obey()
        #expect(swarm.wanted(service).count { $0.status.state == .running && $0.spec.container.image == "app:1" } == 2)
        #expect(swarm.wanted(service).contains { $0.status.problem?.contains("could not find an available IP") == true })
        #expect(try swarm.service(service).ports.map(\.published) == [30000])
        _ = try swarm.run(.removeService(first.id))
        swarm.live(61)
        #expect(swarm.wanted(service).allSatisfy { $0.spec.container.image == "app:2" && $0.desiredState == .ready })
        try swarm.obey()
        #expect(images(swarm, service) == ["app:2", "app:2"] && swarm.wanted(service).allSatisfy { $0.status.state == .running })
    }

    @Test("A crash loop does not put off the end of an update that goes on with failures")
    func crashLoop() throws {
        var swarm = try Swarm(
            spec: {
                var spec = ClusterSpec(); spec.taskHistoryRetentionLimit = 1; return spec
            }())
        try swarm.addWorker(1)
        let service = try serve(&swarm, .replicated(2)) {
            $0.update?.failureAction = .continue
            $0.update?.delay = 10_000_000_000
            $0.task.restart?.delay = 2_000_000_000
        }
        try renew(&swarm, service, "bad")
        for _ in 0..<40 {
            for task in swarm.wanted(service) where task.spec.container.image == "bad" && task.desiredState == .running {
                try swarm.report(task, .failed)
            }
            for task in swarm.tasks(service) where task.desiredState == .shutdown && task.status.state == .running {
                try swarm.report(task, .shutdown)
            }
            swarm.live(1)
        }
        #expect(images(swarm, service) == ["bad", "bad"])
        #expect(try state(swarm, service) == .completed)
    }
}
