import Testing
import WeftModel
import WeftNet

@testable import WeftNode

@Suite("The life of what is attached")
struct WorkloadTests {
    private func world() -> WorkloadWorld {
        var world = WorkloadWorld()
        world.feed(.membership([]))
        return world
    }

    private func kinds(_ world: WorkloadWorld) -> [String] {
        world.begun.map { "\($0)".split(separator: "(").first.map(String.init) ?? "" }
    }

    private func succeeded(_ world: WorkloadWorld, _ id: RequestID) -> Bool {
        if case .success? = world.replies[id] { true } else { false }
    }

    // MARK: Sandboxes

    @Test("A sandbox is recorded, made, attached and told of, then answered; it goes the other way round")
    func sandboxLife() throws {
        var world = world()
        let (made, started, removed) = (world.newRequest(), world.newRequest(), world.newRequest())
        world.feed(.prepare(made, sandbox("s", "n1", "n2")))
        #expect(world.replies[made] == nil)
        world.settle()
        #expect(succeeded(world, made))
        #expect(kinds(world) == ["save", "prepare", "attach", "attach", "tell"])
        #expect(
            world.endpoints.count == 2 && world.told[WorkloadID("s")] == ["e1", "e2"].map { EndpointID($0) })
        #expect(world.machine.namespaces == [SandboxID("s"): "/ns/s"])
        world.feed(.start(started, WorkloadID("s")))
        world.settle()
        #expect(succeeded(world, started))
        world.begun = []
        world.feed(.remove(removed, WorkloadID("s"), force: false))
        #expect(world.replies[removed] == .failure(.isRunning(WorkloadID("s"))))
        let forced = world.newRequest()
        world.feed(.remove(forced, WorkloadID("s"), force: true))
        world.settle()
        #expect(succeeded(world, forced))
        #expect(kinds(world) == ["shutDown", "release", "tell", "remove", "forget"])
        #expect(world.endpoints.isEmpty && world.records.isEmpty && world.machine.workloads.isEmpty)
        #expect(world.wrongs == [])
    }

    @Test(
        "Nothing is left of a sandbox that cannot be had, whatever failed",
        arguments: ["save", "prepare", "attach", "tell"])
    func failedSandbox(what: String) throws {
        var world = world()
        let made = world.newRequest()
        world.feed(.prepare(made, sandbox("s", "n1")))
        world.settle { "\($0)".hasPrefix(what) }
        guard case .failure(.step)? = world.replies[made] else {
            Issue.record("\(String(describing: world.replies[made]))")
            return
        }
        // `tell` failed on the way back too, which does not hold it up.
        #expect(
            world.endpoints.isEmpty && world.records.isEmpty && world.places.isEmpty
                && world.machine.workloads.isEmpty)
    }

    @Test("One that hangs delays nobody else, and whoever removes it by force does not wait for its grace")
    func hanging() throws {
        var world = world()
        let ids = (0..<4).map { _ in world.newRequest() }
        world.feed(.prepare(ids[0], sandbox("a")))
        world.settle()
        world.feed(.start(ids[1], WorkloadID("a")))
        world.settle()
        world.feed(.shutDown(ids[2], WorkloadID("a"), grace: .seconds(60)))
        #expect(world.steps.count == 1)
        world.feed(.prepare(ids[3], sandbox("b", "n1")))
        while world.steps.count > 1 { world.finish(1) }
        #expect(succeeded(world, ids[3]), "b is made while the shutting down of a hangs")
        let removed = world.newRequest()
        world.feed(.remove(removed, WorkloadID("a"), force: true))
        #expect(world.kills == [WorkloadID("a")])
        world.settle()
        #expect(succeeded(world, ids[2]) && succeeded(world, removed))
        #expect(world.machine.workloads.map(\.id.rawValue) == ["b"])
    }

    @Test("A process that ends takes its endpoints, and its record if it was made so")
    func ended() {
        var world = world()
        for (name, removesItself) in [("kept", false), ("gone", true)] {
            var workload = sandbox(name, "n1")
            workload.removesItself = removesItself
            let made = world.newRequest()
            world.feed(.prepare(made, workload))
            world.settle()
            world.feed(.observed(WorkloadID(name), .ended))
            world.settle()
        }
        #expect(world.endpoints.isEmpty)
        #expect(Array(world.records.keys) == [WorkloadID("kept")] && world.places == [WorkloadID("kept")])
    }

    @Test("A start succeeded, however soon the process ended after it", arguments: [false, true])
    func shortLife(removesItself: Bool) {
        var world = world()
        var workload = sandbox("s", "n1")
        workload.removesItself = removesItself
        let (made, started) = (world.newRequest(), world.newRequest())
        world.feed(.prepare(made, workload))
        world.settle()
        world.feed(.start(started, workload.id))
        world.feed(.observed(workload.id, .ended))
        world.settle()
        #expect(succeeded(world, started))
        #expect(world.endpoints.isEmpty && world.records.isEmpty == removesItself)
    }

    @Test("What could not be removed is tried again with a tick, and said meanwhile")
    func stuck() {
        var world = world()
        let (made, removed) = (world.newRequest(), world.newRequest())
        world.feed(.prepare(made, sandbox("s", "n1")))
        world.settle()
        world.feed(.remove(removed, WorkloadID("s"), force: true))
        world.settle { "\($0)".hasPrefix("remove") }
        guard case .failure(.step)? = world.replies[removed] else {
            Issue.record("the failure is not told")
            return
        }
        #expect(world.records.count == 1)
        world.feed(.tick)
        world.settle()
        #expect(world.records.isEmpty && world.machine.workloads.isEmpty)
    }

    // MARK: Runtimes' namespaces

    @Test("A runtime's workload is there as long as it has interfaces")
    func runtimeLife() throws {
        var world = world()
        let ids = (0..<6).map { _ in world.newRequest() }
        world.feed(.attach(ids[0], runtime("c"), spec("n1", "eth0")))
        world.settle()
        #expect(try world.replies[ids[0]]?.get()?.network == NetworkID("n1"))
        world.feed(.attach(ids[1], runtime("c"), spec("n2", "eth1")))
        world.feed(.attach(ids[2], runtime("c"), spec("n3", "eth1")))
        #expect(world.replies[ids[2]] == .failure(.exists(SandboxID("c"), interface: "eth1")))
        world.feed(.attach(ids[3], runtime("c", cookie: 2), spec("n3", "eth2")))
        #expect(world.replies[ids[3]] == .failure(.otherNamespace(SandboxID("c"))))
        world.settle()
        world.feed(.detach(ids[4], WorkloadID("c"), interface: "eth0"))
        world.settle()
        #expect(succeeded(world, ids[4]) && world.endpoints.count == 1 && world.records.count == 1)
        world.feed(.detach(ids[5], WorkloadID("c"), interface: "eth1"))
        world.settle()
        #expect(succeeded(world, ids[5]) && world.endpoints.isEmpty && world.records.isEmpty)
        let again = world.newRequest()
        world.feed(.detach(again, WorkloadID("c"), interface: "eth1"))
        #expect(succeeded(world, again))
    }

    @Test("An interface that fails takes none of the others with it")
    func failedInterface() {
        var world = world()
        let (first, second) = (world.newRequest(), world.newRequest())
        world.feed(.attach(first, runtime("c"), spec("n1", "eth0")))
        world.settle()
        world.feed(.attach(second, runtime("c"), spec("n2", "eth1")))
        world.settle { "\($0)".hasPrefix("attach") }
        #expect(!succeeded(world, second) && world.replies[second] != nil)
        #expect(
            world.endpoints.count == 1
                && world.records[WorkloadID("c")]?.interfaces.map(\.interface) == ["eth0"])
    }

    @Test("A namespace that is gone takes all with it; a swarm that is left, the runtimes' workloads")
    func namespaceGone() {
        var world = world()
        let ids = (0..<3).map { _ in world.newRequest() }
        world.feed(.attach(ids[0], runtime("c"), spec("n1", "eth0")))
        world.feed(.attach(ids[1], runtime("d"), spec("n1", "eth0")))
        world.settle()
        world.feed(.observed(WorkloadID("c"), .ended))
        world.settle()
        #expect(Array(world.records.keys) == [WorkloadID("d")] && world.endpoints.count == 1)
        world.isMember = false
        world.endpoints = [:]
        world.feed(.membership(nil))
        world.settle()
        #expect(world.records.isEmpty)
        world.feed(.attach(ids[2], runtime("c"), spec("n1", "eth0")))
        #expect(world.replies[ids[2]] == .failure(.noSwarm))
    }

    // MARK: Containers of an engine

    private func started(_ world: inout WorkloadWorld, _ workload: Workload) -> RequestID {
        let (made, raised) = (world.newRequest(), world.newRequest())
        world.feed(.prepare(made, workload))
        world.settle()
        world.feed(.raise(raised, workload.id))
        world.settle()
        return raised
    }

    @Test("A container's endpoints are there before it starts, and go when it has ended for good")
    func containerLife() {
        var world = world()
        let container = container("c", "n1", "n2")
        let raised = started(&world, container)
        #expect(succeeded(world, raised) && world.endpoints.count == 2)
        // It started and ended while the engine's answer was awaited: no end counts before the next look.
        world.feed(.observed(container.id, .stopped(isFinal: true)))
        world.settle()
        #expect(world.endpoints.count == 2)
        world.feed(.lower(container.id))
        world.settle()
        #expect(world.endpoints.count == 2)
        world.feed(.observed(container.id, .running))
        world.settle()
        #expect(world.endpoints.values.allSatisfy { $0.name == "c" })
        world.feed(.observed(container.id, .stopped(isFinal: true)))
        world.settle()
        #expect(world.endpoints.isEmpty && world.records.count == 1)
        world.feed(.observed(container.id, .gone))
        world.settle()
        #expect(world.records.isEmpty && world.places.isEmpty && world.wrongs == [])
    }

    @Test("One that may start again keeps its endpoints for a while, without their names")
    func patience() {
        var world = world()
        let container = container("c", "n1")
        _ = started(&world, container)
        world.feed(.lower(container.id))
        world.feed(.observed(container.id, .running))
        world.settle()
        world.feed(.observed(container.id, .stopped(isFinal: false)))
        world.settle()
        #expect(world.endpoints.values.map(\.name) == [""])
        world.now = world.now + .seconds(29)
        world.feed(.tick)
        world.settle()
        #expect(world.endpoints.count == 1)
        world.now = world.now + .seconds(1)
        world.feed(.tick)
        world.settle()
        #expect(world.endpoints.isEmpty)
        world.feed(.observed(container.id, .running))
        world.settle()
        #expect(world.endpoints.values.map(\.name) == ["c"])
    }

    @Test(
        "A start that cannot have all leaves nothing of it, and the container as it was",
        arguments: ["attach", "tell"])
    func failedStart(what: String) {
        var world = world()
        let container = container("c", "n1", "n2")
        let (made, raised) = (world.newRequest(), world.newRequest())
        world.feed(.prepare(made, container))
        world.settle()
        world.feed(.raise(raised, container.id))
        var left = what == "attach" ? 1 : 0
        world.settle { step in
            guard "\(step)".hasPrefix(what) else { return false }
            left -= 1
            return left < 0
        }
        #expect(!succeeded(world, raised) && world.replies[raised] != nil)
        #expect(world.endpoints.isEmpty && world.records[container.id]?.interfaces.count == 2)
        let again = world.newRequest()
        world.feed(.raise(again, container.id))
        world.settle()
        #expect(succeeded(world, again) && world.endpoints.count == 2)
    }

    @Test("What the engine does not have goes, but for what came after the engine was asked")
    func found() {
        var world = world()
        for name in ["a", "b"] {
            let made = world.newRequest()
            world.feed(.prepare(made, container(name, "n1")))
            world.settle()
            world.now = world.now + .seconds(2)
        }
        world.feed(.containersFound([], asOf: world.now + .seconds(-3)))
        world.settle()
        #expect(Array(world.records.keys) == [WorkloadID("b")])
    }

    @Test("After a restart endpoints are adopted, and containers that come back by themselves find theirs")
    func restart() {
        var world = WorkloadWorld()
        let (alive, waiting) = (sandbox("s", "n1"), container("c", "n1", restarts: true))
        var ended = sandbox("old", "n1")
        ended.removesItself = true
        for workload in [alive, waiting, ended] {
            world.records[workload.id] = workload
            world.places.insert(workload.id)
        }
        world.feed(
            .found([
                FoundWorkload(alive, namespace: "/ns/s", process: .running), FoundWorkload(waiting),
                FoundWorkload(ended, process: .ended),
            ]))
        world.settle()
        #expect(Set(world.records.keys) == [alive.id, waiting.id] && !world.places.contains(ended.id))
        let kept = Endpoint(
            id: EndpointID("kept"), network: NetworkID("n1"), node: NodeID("n"), sandbox: SandboxID("s"),
            ipv4: IPv4Address(rawValue: 1), mac: MACAddress(rawValue: 2), name: "s")
        world.endpoints[kept.id] = kept
        world.feed(.membership([kept]))
        world.settle()
        #expect(world.machine.endpoints(of: alive.id) == ["eth0": kept])
        #expect(world.endpoints.count == 2 && world.machine.endpoints(of: waiting.id).count == 1)
        #expect(world.wrongs == [])
    }
}
