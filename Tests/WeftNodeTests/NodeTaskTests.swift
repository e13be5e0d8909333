import Testing
import WeftModel
import WeftNet
import WeftNode

/// A task of a service `web` on this node, or another.
func webTask(
    _ id: String = "t1", node: NodeID = Host.id, desired: TaskState = .running, _ change: (inout TaskSpec) -> Void = { _ in }
) -> ServiceTask {
    var spec = TaskSpec(container: ContainerSpec(image: "web"))
    spec.networks = [TaskNetwork(target: "id-net")]
    change(&spec)
    let start = Instant(nanoseconds: 0)
    var service = Service(id: ServiceID("s"), createdAt: start, spec: ServiceSpec(name: "web", task: spec))
    service.ports = []
    return ServiceTask(
        id: TaskID(id), createdAt: start, of: service, slot: 1, node: node, desiredState: desired,
        status: TaskStatus(state: .assigned, at: start, message: "scheduler assigned task to node"))
}

func serving(_ task: ServiceTask, _ rotation: ServingTask.Rotation = .waiting) -> ServingTask {
    ServingTask(service: task.service, task: task.id, slot: task.slot, rotation: rotation)
}

extension Host {
    mutating func attached(_ network: String, _ name: String, of task: ServiceTask) throws -> Endpoint {
        let id = try attach(network, name) { $0.endpoint.task = serving(task) }
        applied()
        return try #require(replies[id]).get()
    }

    var heartbeats: [Version] {
        sent.compactMap { if case .heartbeat(let revision) = $0 { revision } else { nil } }
    }

    var reports: [[TaskReport]] {
        sent.compactMap { if case .tasksChanged(let reports) = $0 { reports } else { nil } }
    }

    /// The number of the newest wish to hear of the others.
    func othersRequest() throws -> RequestNumber {
        for case .awaitsOthers(let number) in sent.reversed() { return number }
        throw Unexpected(what: "no wish to hear of the others")
    }
}

@Suite("Endpoints of tasks")
struct RotationTests {
    @Test("An endpoint has the task that it was attached for, and keeps it over a restart and a new name")
    func carried() throws {
        var host = try Host.synchronised()
        let endpoint = try host.attached("net", "web.1.t1", of: webTask())
        #expect(endpoint.task == serving(webTask()))
        host.feed(.rename(RequestID(9), endpoint.id, sandbox: endpoint.sandbox, name: "other", aliases: []))
        #expect(host.machine.ownEndpoint(endpoint.id)?.task == serving(webTask()))
        host.feed(.rotate([TaskID("t1"): .serving]))
        host.save()
        let next = try Host(saved: host.disk)
        #expect(next.machine.ownEndpoint(endpoint.id)?.task?.rotation == .serving)
    }

    @Test("An engine's endpoint has its task too")
    func engine() throws {
        var host = try Host.synchronised()
        let spec = EndpointSpec(
            network: NetworkID("id-net"), ipv4: try address("10.0.1.3"), task: serving(webTask()))
        host.feed(.attachEngine(RequestID(1), EngineAttachment(id: EndpointID("e"), spec, sandbox: SandboxID("c"))))
        host.applied()
        #expect(try #require(host.replies[RequestID(1)]).get().task == serving(webTask()))
    }

    @Test("A rotation changes the task's endpoints alone, and is saved, told and applied; the same one again is nothing")
    func rotates() throws {
        var host = try Host.synchronised()
        let endpoint = try host.attached("net", "web.1.t1", of: webTask())
        _ = try host.attached("net", "web.2.t2", of: webTask("t2"))
        _ = try host.attached("net", "lone")
        host.sent = []
        let before = host.generation
        host.feed(.rotate([TaskID("t1"): .serving]))
        var rotated = endpoint
        rotated.task?.rotation = .serving
        #expect(host.sent == [.endpointsChanged(added: [rotated], removed: [])])
        #expect(host.generation == before.map { $0 + 1 })
        #expect(host.disk.own.endpoints.contains(rotated))
        host.feed(.rotate([TaskID("t1"): .serving, TaskID("nobody"): .draining]))
        #expect(host.sent.count == 1)
    }
}

@Suite("Waiting for the other nodes")
struct AwaitTests {
    @Test("A wish is answered when the others have followed and this node's data path has")
    func followed() throws {
        var host = try Host.synchronised()
        _ = try host.attached("net", "web.1.t1", of: webTask())
        host.feed(.rotate([TaskID("t1"): .draining]))
        host.feed(.awaitOthers(RequestID(50)))
        let number = try host.othersRequest()
        host.feed(.received(.othersFollowed(number + 1)))
        host.feed(.received(.othersFollowed(number)))
        #expect(host.followed.isEmpty)
        host.applied()
        #expect(host.followed == [RequestID(50)])
    }

    @Test("The change is told before the wish")
    func order() throws {
        var host = try Host.synchronised()
        _ = try host.attached("net", "web.1.t1", of: webTask())
        host.sent = []
        host.feed(.rotate([TaskID("t1"): .draining]))
        host.feed(.awaitOthers(RequestID(50)))
        guard case .endpointsChanged? = host.sent.first, case .awaitsOthers? = host.sent.last else {
            throw Host.Unexpected(what: "\(host.sent)")
        }
    }

    @Test("Who does not answer is waited for no longer than two seconds")
    func bounded() throws {
        var host = try Host.synchronised()
        host.applied()
        host.feed(.awaitOthers(RequestID(50)))
        host.now = host.now + .seconds(1)
        host.feed(.tick)
        #expect(host.followed.isEmpty)
        host.now = host.now + .seconds(1)
        host.feed(.tick)
        #expect(host.followed == [RequestID(50)])
    }

    @Test("Without a manager this node alone counts, also where the session ends meanwhile")
    func alone() throws {
        var host = try Host.synchronised()
        _ = try host.attached("net", "web.1.t1", of: webTask())
        host.feed(.awaitOthers(RequestID(50)))
        #expect(host.followed.isEmpty)
        host.feed(.sessionClosed)
        #expect(host.followed == [RequestID(50)])
        host.feed(.rotate([TaskID("t1"): .draining]))
        host.feed(.awaitOthers(RequestID(51)))
        #expect(host.followed == [RequestID(50)])
        host.applied()
        #expect(host.followed == [RequestID(50), RequestID(51)])
    }
}

@Suite("Telling what is in force")
struct AcknowledgementTests {
    private func foreign(_ name: String, _ text: String) throws -> Endpoint {
        let ipv4 = try address(text)
        return Endpoint(
            id: EndpointID(name), network: NetworkID("id-net"), node: Host.peer, sandbox: SandboxID(name), ipv4: ipv4,
            mac: MACAddress(forIPv4: ipv4), name: name)
    }

    @Test("A manager that waits hears as soon as the data path follows, and not before")
    func follows() throws {
        var host = try Host.synchronised()
        host.applied()
        try host.delta(11) {
            $0.endpoints = [try foreign("far", "10.0.1.200")]
            $0.wantsAcknowledgement = true
        }
        #expect(host.heartbeats.isEmpty)
        host.feed(.datapathApplied(try #require(host.generation), failure: "no kernel"))
        #expect(host.heartbeats.isEmpty)
        host.applied()
        #expect(host.heartbeats == [Version(11)])
        host.applied()
        #expect(host.heartbeats.count == 1)
    }

    @Test("What changes nothing here is in force at once")
    func nothing() throws {
        var host = try Host.synchronised()
        host.applied()
        try host.delta(11) { $0.wantsAcknowledgement = true }
        #expect(host.heartbeats == [Version(11)])
    }

    @Test("Nobody hears more than is in force, by the usual heartbeat either")
    func usual() throws {
        var host = try Host.synchronised()
        host.applied()
        try host.delta(11) { $0.endpoints = [try foreign("far", "10.0.1.200")] }
        host.now = host.now + .seconds(5)
        host.feed(.tick)
        #expect(host.heartbeats == [Version(10)])
        host.applied()
        #expect(host.heartbeats == [Version(10)])
        host.now = host.now + .seconds(5)
        host.feed(.tick)
        #expect(host.heartbeats == [Version(10), Version(11)])
    }

    @Test("A data path that refuses for long is behind, and catches up at once")
    func long() throws {
        var host = try Host.synchronised()
        host.applied()
        for revision in 11...600 {
            try host.delta(Int64(revision)) { $0.endpoints = [try foreign("far", "10.0.1.\(100 + revision % 100)")] }
        }
        try host.delta(601) { $0.wantsAcknowledgement = true }
        #expect(host.heartbeats.isEmpty)
        host.applied()
        #expect(host.heartbeats == [Version(601)])
    }
}

@Suite("What a node is told of tasks, and tells")
struct NodeTaskTests {
    private func report(_ task: String, _ state: TaskState) -> TaskReport {
        TaskReport(
            task: TaskID(task), status: TaskStatus(state: state, at: Instant(nanoseconds: 1), message: state.name))
    }

    @Test("Nothing is said of tasks before a manager has spoken; then all, and what changes")
    func assigned() throws {
        var host = try Host()
        #expect(host.machine.assignedTasks == nil)
        host.feed(.sessionOpened)
        var all = try Host.everything()
        all[ServiceTask.self].put = [webTask()]
        host.feed(.received(.assignments(all)))
        #expect(host.assignments.last??.tasks.map(\.id) == [TaskID("t1")])
        #expect(host.assignments.last??.hasManager == true)
        let count = host.assignments.count
        try host.delta(11) { $0.peers = try Host.everything().peers }
        #expect(host.assignments.count == count)
        try host.delta(12) { $0[ServiceTask.self].put = [webTask("t2")] }
        #expect(host.assignments.last??.tasks.map(\.id) == [TaskID("t1"), TaskID("t2")])
        try host.delta(13) { $0[ServiceTask.self].removed = [TaskID("t1")] }
        #expect(host.assignments.last??.tasks.map(\.id) == [TaskID("t2")])
        host.feed(.sessionClosed)
        #expect(host.assignments.last??.hasManager == false)
        host.save()
        #expect(try Host(saved: host.disk).machine.assignedTasks?.tasks.map(\.id) == [TaskID("t2")])
    }

    @Test("Each session begins with all reports; then what changes is told")
    func reports() throws {
        var host = try Host.synchronised()
        host.feed(.tasksObserved([report("t1", .preparing)]))
        host.feed(.tasksObserved([report("t1", .preparing)]))
        #expect(host.reports == [[report("t1", .preparing)]])
        host.feed(.sessionClosed)
        host.feed(.tasksObserved([report("t1", .running), report("t2", .running)]))
        host.feed(.sessionOpened)
        host.sent = []
        host.feed(.tasksObserved([report("t3", .running)]))
        #expect(host.reports.isEmpty)
        host.feed(.received(.assignments(try Host.everything(revision: 20))))
        #expect(host.reports == [[report("t1", .running), report("t2", .running), report("t3", .running)]])
        host.feed(.tasksObserved([], gone: [TaskID("t1"), TaskID("t2")]))
        host.feed(.sessionOpened)
        host.sent = []
        host.feed(.received(.assignments(try Host.everything(revision: 21))))
        #expect(host.reports == [[report("t3", .running)]])
    }

    @Test("What was seen of a task is known after a restart, though no manager repeats it")
    func kept() throws {
        var host = try Host.synchronised()
        try host.delta(11) { $0[ServiceTask.self].put = [webTask()] }
        host.feed(.tasksObserved([report("t1", .running)]))
        host.save()
        #expect(host.machine.assignedTasks?.tasks.map(\.status.state) == [.running])
        #expect(try Host(saved: host.disk).machine.assignedTasks?.tasks.map(\.status) == [report("t1", .running).status])
        // What the manager says of it may be older.
        try host.delta(12) { $0[ServiceTask.self].put = [webTask(desired: .shutdown)] }
        #expect(host.assignments.last??.tasks.map(\.status.state) == [.running])
        #expect(host.assignments.last??.tasks.map(\.desiredState) == [.shutdown])
        host.save()
        #expect(try Host(saved: host.disk).machine.assignedTasks?.tasks.map(\.status.state) == [.running])
        var lost = webTask(desired: .shutdown)
        lost.status.state = .orphaned
        try host.delta(13) { $0[ServiceTask.self].put = [lost] }
        #expect(host.assignments.last??.tasks.map(\.status.state) == [.orphaned])
    }

    @Test("Many reports go in several messages")
    func many() throws {
        var host = try Host.synchronised()
        host.feed(.tasksObserved((0..<600).map { report("t\($0)", .running) }))
        #expect(host.reports.map(\.count) == [256, 256, 88])
    }

    @Test("A node that starts again without the secrets of its tasks asks for everything, once")
    func secrets() throws {
        let start = Instant(nanoseconds: 0)
        let secret = StoredSecret(id: "x", createdAt: start, spec: SharedFileSpec(name: "key", data: Secret("AA==")))
        func greeting(_ task: ServiceTask) throws -> (Version, Host) {
            var host = try Host.synchronised()
            try host.delta(11) {
                $0[StoredSecret.self].put = [secret]
                $0[ServiceTask.self].put = [task]
            }
            #expect(host.assignments.last??.secrets == [secret])
            host.save()
            var next = try Host(saved: host.disk)
            next.feed(.sessionOpened)
            guard case .hello(_, _, let revision, _)? = next.sent.first else { throw Host.Unexpected(what: "no hello") }
            return (revision, next)
        }
        let wanting = webTask { $0.container.secrets = [.init(id: "x", name: "key", target: "key")] }
        let (revision, host) = try greeting(wanting)
        #expect(revision == .none)
        #expect(host.machine.assignedTasks?.tasks.map(\.id) == [TaskID("t1")])
        #expect(try greeting(webTask()).0 == Version(11))
        var over = wanting
        over.desiredState = .shutdown
        #expect(try greeting(over).0 == Version(11))
        var next = host
        next.feed(.received(.assignments(try Host.everything(revision: 20))))
        next.feed(.sessionOpened)
        guard case .hello(_, _, let second, _)? = next.sent.last else { throw Host.Unexpected(what: "no hello") }
        #expect(second == Version(20))
    }

    @Test("Credentials for a registry are not in a node's file; one that needs them after a restart asks for everything")
    func credentials() throws {
        func restarted(_ state: TaskState) throws -> (Version, Host) {
            var task = webTask { $0.container.registryCredentials = Secret("hush") }
            task.status.state = state
            var host = try Host.synchronised()
            try host.delta(11) { $0[ServiceTask.self].put = [task] }
            #expect(host.machine.assignedTasks?.tasks.first?.spec.container.registryCredentials?.exposed == "hush")
            host.save()
            var next = try Host(saved: host.disk)
            next.feed(.sessionOpened)
            guard case .hello(_, _, let revision, _)? = next.sent.first else { throw Host.Unexpected(what: "no hello") }
            return (revision, next)
        }
        let (revision, host) = try restarted(.preparing)
        #expect(revision == .none)
        #expect(host.machine.assignedTasks?.tasks.first?.spec.container.registryCredentials?.exposed == "")
        // Whose image is there, goes on.
        #expect(try restarted(.running).0 == Version(11))
    }
}
