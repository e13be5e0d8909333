import Logging
import TestSupport
import Testing
import WeftEngine
import WeftModel
import WeftNet
import WeftNode

@testable import WeftAgent

extension EngineTaskDriver {
    init(_ server: CannedServer, _ containers: ContainerKeeper, servers: @escaping @Sendable ([IPv4Address]) -> Void = { _ in }) {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let engine = LocalEngine(socketPath: server.path)
        let follower = ContainerFollower(
            engine: engine, observer: ContainerNews(prepared: containers, logger: quiet), logger: quiet)
        self.init(
            engine: engine,
            prepared: PreparedTasks(containers: containers, follower: follower) { addresses, _ in servers(addresses) },
            files: TaskFileStore(runDirectory: "/nonexistent"), node: { NodeID("n1") }, logger: quiet)
    }
}

/// The engine's side is canned: each request gets the next answer.
@Suite("Tasks as containers")
struct EngineTaskDriverTests {
    private static func http(_ status: Int, _ body: String = "") -> String {
        "HTTP/1.1 \(status) X\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private static let version = http(200, #"{"Components":[{"Name":"Engine"}]}"#)

    private static func container(_ state: String, task: String = "t1") -> String {
        http(
            200,
            #"{"Id":"abc","State":{\#(state)},"Config":{"Labels":{"com.docker.swarm.task.id":"\#(task)"}},"#
                + #""NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"81/tcp":null}}}"#)
    }

    private func driver(_ server: CannedServer) throws -> EngineTaskDriver {
        EngineTaskDriver(server, try WorkloadNode().containers)
    }

    private func order(credentials: String? = nil) -> TaskOrder {
        let start = Instant(nanoseconds: 0)
        var spec = ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "web")))
        spec.task.container.registryCredentials = credentials.map { Secret($0) }
        let task = ServiceTask(
            id: TaskID("t1"), createdAt: start, of: Service(id: ServiceID("s"), createdAt: start, spec: spec), slot: 2,
            node: NodeID("n1"), desiredState: .running,
            status: TaskStatus(state: .assigned, at: start, message: ""))
        return TaskOrder(
            task: task, files: [], node: TaskNode(id: NodeID("n1"), hostname: "h1", architecture: "x86_64"),
            networks: [])
    }

    private static let missing = http(404, #"{"message":"No such image: web"}"#)

    @Test("An image that is not there is got once; what it is refused with are the engine's sentences")
    func image() async throws {
        let server = try CannedServer([
            Self.version, Self.missing, Self.http(200, "{\"status\":\"x\"}\n{\"error\":\"no route\"}\n"),
            Self.version, Self.missing, Self.http(200, "{\"status\":\"done\"}\n"), Self.missing,
        ])
        let driver = try driver(server)
        await #expect(throws: TaskFailure("No such image: web (pulling it failed: no route)")) {
            _ = try await driver.prepare(order())
        }
        await #expect(throws: EngineError.refused(status: 404, message: "No such image: web")) {
            _ = try await driver.prepare(order())
        }
        let targets = server.received.compactMap { $0.split(separator: "\r\n").first.map(String.init) }
        #expect(
            targets == [
                "GET /version HTTP/1.1", "POST /containers/create?name=web.2.t1 HTTP/1.1",
                "POST /images/create?fromImage=web%3Alatest HTTP/1.1",
                "GET /version HTTP/1.1", "POST /containers/create?name=web.2.t1 HTTP/1.1",
                "POST /images/create?fromImage=web%3Alatest HTTP/1.1",
                "POST /containers/create?name=web.2.t1 HTTP/1.1",
            ])
        #expect(server.received.allSatisfy { !$0.lowercased().contains("x-registry-auth") })
    }

    @Test("The registry is shown the service's credentials, and nothing else the engine is asked has them")
    func credentials() async throws {
        let server = try CannedServer([
            Self.version, Self.missing, Self.http(200), Self.http(201, #"{"Id":"abc"}"#),
            Self.version, Self.missing, Self.http(200), Self.http(201, #"{"Id":"abc"}"#),
        ])
        let driver = try driver(server)
        #expect(try await driver.prepare(order(credentials: "c2VjcmV0")) == "abc")
        #expect(server.received[2].contains("\r\nX-Registry-Auth: c2VjcmV0\r\n"))
        #expect(server.received.filter { $0.contains("c2VjcmV0") }.count == 1)
        // Those that a node has forgotten are none.
        #expect(try await driver.prepare(order(credentials: "")) == "abc")
        #expect(!server.received[6].lowercased().contains("x-registry-auth"))
    }

    @Test("A container is made, started, stopped and removed, and what the engine says of it is told")
    func life() async throws {
        let server = try CannedServer([
            Self.version, Self.http(201, #"{"Id":"abc","Warnings":[]}"#), Self.http(204),
            Self.container(#""Status":"running","Pid":77,"Health":{"Status":"starting"}"#), Self.http(204),
            Self.container(#""Status":"exited","ExitCode":3,"Error":"","Pid":0"#),
            Self.container(#""Status":"exited","ExitCode":3"#), Self.http(204),
        ])
        let driver = try driver(server)
        #expect(try await driver.prepare(order()) == "abc")
        let started = try await driver.start("abc")
        #expect(started.pid == 77 && started.health == .unknown)
        #expect(started.ports.map(\.published) == [8080] && started.ports.map(\.target) == [80])
        #expect(try await driver.shutDown("abc", signal: "", grace: .milliseconds(2500)) == TaskEnd(exitCode: 3))
        try await driver.remove("abc")
        #expect(server.received[4].hasPrefix("POST /containers/abc/stop?t=3 "))
        #expect(server.received[7].hasPrefix("DELETE /containers/abc?force=1&v=1 "))
    }

    @Test("Containers of this node's tasks are found by their labels")
    func found() async throws {
        let server = try CannedServer([
            Self.version, Self.http(200, #"[{"Id":"abc"}]"#),
            Self.container(#""Status":"exited","ExitCode":1,"Error":"broken""#, task: "t9"),
        ])
        let found = try await driver(server).found()
        #expect(
            found == [
                FoundTask(
                    task: TaskID("t9"), container: "abc", phase: .ended(TaskEnd(exitCode: 1, problem: "broken")))
            ])
        #expect(server.received[1].contains("com.docker.swarm.node.id%3Dn1"))
    }
}
