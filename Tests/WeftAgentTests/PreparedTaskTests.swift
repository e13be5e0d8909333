import Synchronization
import TestSupport
import Testing
import WeftEngine
import WeftModel
import WeftNet
import WeftNode
import WeftText

@testable import WeftAgent

/// Tasks with podman as the engine, whose side is canned: each request gets the next answer.
@Suite("Tasks as containers of an engine that takes no driver", .timeLimit(.minutes(5)))
struct PreparedTaskTests {
    private static func http(_ status: Int, _ body: String = "") -> String {
        "HTTP/1.1 \(status) X\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private static let version = http(200, #"{"Components":[{"Name":"Podman Engine"}]}"#)

    private static func container(_ state: String) -> String {
        http(
            200,
            #"{"Id":"abc","Name":"/web.2.t1","State":{\#(state)},"Config":{"Labels":{"com.docker.swarm.task.id":"t1"}},"#
                + #""HostConfig":{"RestartPolicy":{"Name":"no"}},"NetworkSettings":{"Ports":{}}}"#)
    }
    private static let running = container(#""Status":"running","Running":true,"Pid":77"#)
    private static let exited = container(#""Status":"exited","Running":false,"ExitCode":3,"Error":"","Pid":0"#)

    private func order(
        _ node: WorkloadNode, networks: [String] = ["id-net"], ports: [PortConfig] = [], _ change: (inout TaskSpec) -> Void = { _ in }
    ) async throws -> TaskOrder {
        var spec = TaskSpec(container: ContainerSpec(image: "web"))
        spec.networks = networks.map { TaskNetwork(target: $0) }
        change(&spec)
        let start = Instant(nanoseconds: 0)
        var task = ServiceTask(
            id: TaskID("t1"), createdAt: start,
            of: Service(id: ServiceID("s"), createdAt: start, spec: ServiceSpec(name: "web", task: spec)), slot: 2,
            node: NodeID("n1"), desiredState: .running, status: TaskStatus(state: .assigned, at: start, message: ""))
        task.ports = ports
        let made = task
        return try await node.agent.read { machine in Result { try TaskOrder(made, [], by: machine) } }.get()
    }

    private func body(_ request: String) throws -> JSON {
        try JSON(parsing: Array(request.split(separator: "\r\n\r\n").dropFirst().joined().utf8))
    }

    @Test("Its endpoints are there from before its start to its end, and say whose backend they are to be")
    func life() async throws {
        try await withWorkloads { node in
            let server = try CannedServer([
                Self.version, Self.http(201, #"{"Id":"abc"}"#), Self.http(204), Self.running, Self.running,
                Self.http(204), Self.exited, Self.exited, Self.exited, Self.http(204),
            ])
            let servers = Mutex<[IPv4Address]>([])
            let driver = EngineTaskDriver(server, node.containers) { addresses in servers.withLock { $0 = addresses } }
            var port = PortConfig(target: 80)
            (port.mode, port.published) = (.host, 50003)
            let order = try await order(node, networks: ["id-net", "id-inner"], ports: [port]) {
                $0.container.dns.nameservers = ["10.9.9.9"]
            }
            #expect(try await driver.prepare(order) == "abc")
            #expect(try await node.endpoints().isEmpty && node.records.all.count == 1)
            #expect(servers.withLock { $0 } == [try #require(IPv4Address("10.9.9.9"))])

            let started = try await driver.start("abc")
            #expect(started.pid == 77 && started.ports == [port])
            let endpoints = try await node.endpoints().sorted { $0.network < $1.network }
            #expect(endpoints.map(\.network) == [NetworkID("id-inner"), NetworkID("id-net")])
            #expect(endpoints.allSatisfy { $0.name == "web.2.t1" && $0.task?.task == TaskID("t1") && $0.task?.rotation == .waiting })
            #expect(node.ports.published.withLock { $0.map(\.hostPort) } == [50003])

            #expect(try await driver.shutDown("abc", signal: "", grace: .seconds(2)) == TaskEnd(exitCode: 3))
            #expect(try await node.endpoints().isEmpty && node.ports.published.withLock { $0.isEmpty })
            try await driver.remove("abc")
            #expect(node.records.all.isEmpty)
            #expect(node.namespaces.cookies.withLock { $0.isEmpty })
            try check(server)
        }
    }

    /// What podman was asked for.
    private func check(_ server: CannedServer) throws {
        let targets = server.received.compactMap { $0.split(separator: " HTTP/").first.map(String.init) }
        let look = "GET /containers/abc/json"
        #expect(
            targets == [
                "GET /version", "POST /containers/create?name=web.2.t1", "POST /containers/abc/start", look, look,
                "POST /containers/abc/stop?t=2", look, look, look, "DELETE /containers/abc?force=1&v=1",
            ])
        let created = try body(server.received[1])
        let host = try #require(created["HostConfig"])
        guard case .string(let mode)? = host["NetworkMode"] else { throw Missing() }
        #expect(mode.hasPrefix("ns:/netns/") && created["NetworkingConfig"] == nil)
        #expect(host["Dns"] == ["169.254.77.53"] && host["DnsOptions"] == ["ndots:0"] && host["PortBindings"] == [:])
    }

    private struct Missing: Error {}

    @Test("What cannot be created, or started, leaves nothing attached")
    func failures() async throws {
        try await withWorkloads { node in
            let server = try CannedServer([
                Self.version, Self.http(500, #"{"message":"no space"}"#),
                Self.version, Self.http(201, #"{"Id":"abc"}"#), Self.http(500, #"{"message":"no such command"}"#),
                Self.container(#""Status":"created","Running":false"#),
            ])
            let driver = EngineTaskDriver(server, node.containers)
            let order = try await order(node)
            await #expect(throws: EngineError.refused(status: 500, message: "no space")) { _ = try await driver.prepare(order) }
            #expect(node.records.all.isEmpty && node.namespaces.cookies.withLock { $0.isEmpty })
            _ = try await driver.prepare(order)
            await #expect(throws: TaskFailure("starting container failed: no such command")) { _ = try await driver.start("abc") }
            #expect(try await node.endpoints().isEmpty && node.records.all.count == 1)
        }
    }

    @Test("Without a network of the swarm a container is podman's alone")
    func without() async throws {
        try await withWorkloads { node in
            let server = try CannedServer([Self.version, Self.http(201, #"{"Id":"abc"}"#), Self.http(204), Self.running])
            let driver = EngineTaskDriver(server, node.containers)
            _ = try await driver.prepare(try await order(node, networks: ["host"]))
            #expect(try await driver.start("abc").pid == 77)
            #expect(try body(server.received[1])["HostConfig"]?["NetworkMode"] == "host")
            #expect(node.records.all.isEmpty)
        }
    }

    @Test("What podman would leave undone without a word is refused with one")
    func lacks() async throws {
        try await withWorkloads { node in
            let server = try CannedServer([Self.version])
            let driver = EngineTaskDriver(server, node.containers)
            let order = try await order(node) {
                var mount = ContainerSpec.Mount(target: "/data")
                mount.volumeDriver = LogDriver(name: "local", options: ["type": "nfs"])
                $0.container.mounts = [mount]
            }
            await #expect {
                _ = try await driver.prepare(order)
            } throws: { "\($0)".contains("the mount at /data has a driver") }
        }
    }

    @Test("Words of a health check that podman would take apart go to a shell, quoted")
    func health() {
        func test(_ words: [String]) -> [String] {
            var spec = ContainerSpec()
            spec.healthcheck = ContainerSpec.Healthcheck()
            spec.healthcheck?.test = words
            return spec.forPodman.healthcheck?.test ?? []
        }
        for same in [["CMD", "wget", "-q"], ["CMD-SHELL", "exit 0"], ["NONE"], []] { #expect(test(same) == same) }
        #expect(test(["CMD", "sh", "-c", "echo it's; exit 0"]) == ["CMD-SHELL", #"'sh' '-c' 'echo it'\''s; exit 0'"#])
        #expect(test(["CMD", "echo", ""]) == ["CMD-SHELL", "'echo' ''"])
    }
}
