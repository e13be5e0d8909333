import Foundation
import Synchronization
import TestSupport
import Testing
import WeftEngine
import WeftModel
import WeftNet
import WeftText

@testable import WeftAPI

/// What weftd does for prepared containers, in memory: everything succeeds.
private final class MemoryContainers: ContainerNetworking {
    struct State: Sendable {
        var known: [PreparedContainer] = []
        var calls: [String] = []
    }
    let state = Mutex(State())

    func note(_ call: String) { state.withLock { $0.calls.append(call) } }

    func containers() async -> [ContainerStatus] {
        state.withLock { state in
            state.known.map { container in
                let endpoints = container.attachments.map { attachment in
                    Endpoint(
                        id: EndpointID("e"), network: attachment.endpoint.network, node: NodeID("n"),
                        sandbox: container.container ?? SandboxID(""),
                        ipv4: IPv4Address(rawValue: 0x0a4d_0137), mac: MACAddress(forIPv4: IPv4Address(rawValue: 0x0a4d_0137)),
                        name: container.name)
                }
                return ContainerStatus(
                    container: container, namespacePath: "/run/weft/netns/\(container.token)",
                    endpoints: Dictionary(endpoints.map { ($0.network, $0) }) { first, _ in first })
            }
        }
    }
    func prepare(_ container: PreparedContainer) async throws -> String {
        note("prepare")
        state.withLock { $0.known.append(container) }
        return "/run/weft/netns/\(container.token)"
    }
    func created(token: String, container: SandboxID, name: String) async throws {
        note("created \(container) \(name)")
        state.withLock { state in
            for index in state.known.indices where state.known[index].token == token {
                state.known[index].container = container
                state.known[index].name = name
                let wanted = state.known[index].ports
                state.known[index].published = wanted.map {
                    PublishedPort(wanted: $0, hostPort: $0.hostPorts?.lowerBound ?? 50000, target: IPv4Address(rawValue: 1))
                }
            }
        }
    }
    func discard(token: String) async {
        note("discard")
        state.withLock { $0.known.removeAll { $0.token == token } }
    }
    func starting(
        token: String, _ body: @Sendable @escaping () async throws -> EngineResponse
    ) async throws -> EngineResponse {
        note("starting")
        return try await body()
    }
    func settle(_ container: SandboxID, isStop: Bool) async { note("settle \(container) \(isStop)") }
    func connect(
        token: String, _ attachment: InterfaceSpec, networkName: String, isRunning: Bool
    ) async throws { note("connect \(networkName) \(attachment.interface) \(isRunning)") }
    func disconnect(token: String, network: NetworkID, networkName: String) async throws { note("disconnect \(networkName)") }
}

@Suite struct NamespaceFlavourTests {
    private static let container = String(repeating: "c", count: 64)
    private static let creation = """
        {"Image":"bb","Hostname":"special","ExposedPorts":{"80/tcp":{}},
         "HostConfig":{"NetworkMode":"my_net","PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"Dns":["9.9.9.9"]},
         "NetworkingConfig":{"EndpointsConfig":{"my_net":{"IPAMConfig":null,"Aliases":["db"]}}}}
        """

    /// A server before an engine that calls itself podman; `refuses`: it creates nothing.
    private func with(
        refuses: Bool = false,
        _ body: @escaping @Sendable (RawClient, MemoryContainers, Noted<[(String, String)]>) async throws -> Void
    ) async throws {
        let (containers, seen) = (MemoryContainers(), Noted<[(String, String)]>([]))
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-ns-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let shown = """
            {"Id":"\(Self.container)","Name":"/c1","State":{"Running":true},"NetworkSettings":{"Networks":{},"Ports":{}},
             "HostConfig":{"NetworkMode":"ns:/run/weft/netns/x","Dns":["169.254.77.53"],"DnsOptions":["ndots:0"]}}
            """
        let engine = try FakeEngine(
            path: directory.appendingPathComponent("engine.sock").path,
            FakeEngine.answering { method, target, body in
                seen.change { $0.append(("\(method) \(target)", body)) }
                if target.hasPrefix("/version") { return (200, #"{"Components":[{"Name":"Podman Engine"}]}"#) }
                if target.hasPrefix("/containers/create") {
                    return refuses ? (409, #"{"message":"no"}"#) : (201, #"{"Id":"\#(Self.container)","Warnings":[]}"#)
                }
                if target.hasPrefix("/containers/json") { return (200, "[\(shown)]") }
                if target.hasSuffix("/json") { return (200, shown) }
                if target.hasSuffix("/start") || target.hasSuffix("/stop") { return (204, "") }
                return (404, #"{"message":"no such container"}"#)
            })
        defer { engine.stop() }
        let path = directory.appendingPathComponent("docker.sock").path
        let local = LocalEngine(socketPath: engine.path, patience: patience)
        try await serve(MemoryBackend(), path, engine: local, containers: containers) {
            let client = RawClient(path: path)
            _ = try await client.send("POST", "/swarm/init", #"{"AdvertiseAddr":"192.0.2.1","ListenAddr":"0.0.0.0:2377"}"#)
            _ = try await client.send("POST", "/networks/create", #"{"Name":"my_net","Driver":"overlay","Attachable":true}"#)
            try await body(client, containers, seen)
        }
    }

    @Test func `a container is created in a namespace that is prepared before`() async throws {
        try await with { client, containers, seen async throws in
            #expect(try await client.send("POST", "/containers/create?name=c1", Self.creation).status == 201)
            #expect(containers.state.withLock { $0.calls } == ["prepare", "created \(Self.container) c1"])
            let made = try #require(containers.state.withLock { $0.known.first })
            #expect(made.attachments.map(\.interface) == ["eth0"] && made.attachments.first?.endpoint.aliases == ["db"])
            #expect(made.ports == [WantedPort(protocol: .tcp, containerPort: 80, hostPorts: 8080...8080)])
            #expect(made.upstreams.map(\.description) == ["9.9.9.9"] && made.hostname == "special")
            let sent = try JSON(parsing: Array((seen.value.first { $0.0.contains("create") }?.1 ?? "").utf8))
            #expect(sent["HostConfig"]?["NetworkMode"] == .string("ns:/run/weft/netns/\(made.token)"))
            #expect(sent["HostConfig"]?["Dns"] == ["169.254.77.53"] && sent["HostConfig"]?["DnsOptions"] == ["ndots:0"])
            #expect(sent["HostConfig"]?["PortBindings"] == [:] && sent["NetworkingConfig"] == nil)
        }
    }

    @Test func `nothing is left of one that the engine refuses`() async throws {
        try await with(refuses: true) { client, containers, _ async throws in
            #expect(try await client.send("POST", "/containers/create", Self.creation).status == 409)
            #expect(containers.state.withLock { $0.calls } == ["prepare", "discard"])
        }
    }

    @Test func `its networks and ports are shown as if they were the engine's`() async throws {
        try await with { client, _, seen async throws in
            _ = try await client.send("POST", "/containers/create", Self.creation)
            let shown = try await client.send("GET", "/containers/c1/json").json()
            #expect(shown["HostConfig"]?["NetworkMode"] == "my_net" && shown["HostConfig"]?["Dns"] == ["9.9.9.9"])
            #expect(shown["NetworkSettings"]?["Networks"]?["my_net"]?["IPAddress"] == "10.77.1.55")
            #expect(
                shown["NetworkSettings"]?["Ports"] == ["80/tcp": [["HostIp": "0.0.0.0", "HostPort": "8080"]]])
            let filter = "/containers/json?filters=%7B%22network%22%3A%7B%22"
            guard case .array(let found) = try await client.send("GET", filter + "my_net%22%3Atrue%7D%7D").json(),
                case .array(let others) = try await client.send("GET", filter + "other%22%3Atrue%7D%7D").json()
            else { throw RawClient.Failure(reason: "no list") }
            #expect(found.count == 1 && others.isEmpty)
            #expect(seen.value.last?.0.contains("network") == false, "the engine knows nothing of it")
        }
    }

    @Test func `what starts and ends it is followed`() async throws {
        try await with { client, containers, _ async throws in
            _ = try await client.send("POST", "/containers/create", Self.creation)
            #expect(try await client.send("POST", "/containers/c1/start").status == 204)
            #expect(try await client.send("POST", "/containers/c1/stop").status == 204)
            #expect(
                containers.state.withLock { Array($0.calls.dropFirst(2)) } == [
                    "starting", "settle \(Self.container) false", "settle \(Self.container) true",
                ])
        }
    }

    @Test(arguments: [
        (#"{"HostConfig":{"NetworkMode":"my_net","Links":["a:b"]}}"#, "Links"),
        (#"{"HostConfig":{"NetworkMode":"my_net","PortBindings":{"80/quic":[{}]}}}"#, "80/quic"),
        (#"{"HostConfig":{"NetworkMode":"my_net","PortBindings":{"80/tcp":[{"HostPort":"9-8"}]}}}"#, "9-8"),
        (#"{"HostConfig":{"NetworkMode":"my_net","PortBindings":{"80/tcp":[{"HostPort":"1-2-3"}]}}}"#, "1-2-3"),
        (#"{"HostConfig":{"NetworkMode":"my_net","PortBindings":{"80/tcp":[{"HostIp":"::1"}]}}}"#, "IPv6"),
        (#"{"HostConfig":{"NetworkMode":"my_net","Dns":["fd00::1"]}}"#, "IPv6"),
        (#"{"HostConfig":{"NetworkMode":"my_net"},"MacAddress":"01:00:5e:00:00:01"}"#, "MAC address"),
        (#"{"HostConfig":{"NetworkMode":"my_net"},"NetworkingConfig":{"EndpointsConfig":{"loc":{}}}}"#, "loc"),
        (
            #"{"HostConfig":{"NetworkMode":"my_net"},"NetworkingConfig":{"EndpointsConfig":{"my_net":{"DriverOpts":{"a":"b"}}}}}"#,
            "driver-opt"
        ),
        (#"{"HostConfig":{"NetworkMode":"my_net"},"NetworkingConfig":{"EndpointsConfig":{"my_net":{"GwPriority":1}}}}"#, "GwPriority"),
    ])
    func `what cannot be done is refused`(body: String, word: String) async throws {
        try await with { client, containers, _ async throws in
            let refused = try await client.send("POST", "/containers/create", body)
            #expect(refused.status == 400 && refused.message?.contains(word) == true, "\(refused.message ?? "")")
            #expect(containers.state.withLock { $0.calls.isEmpty })
        }
    }

    @Test func `a container on the engine's own networks goes as it came`() async throws {
        try await with { client, containers, seen async throws in
            let plain = #"{ "HostConfig": {"NetworkMode":"podman"} }"#
            #expect(try await client.send("POST", "/containers/create", plain).status == 201)
            #expect(seen.value.last?.1 == plain && containers.state.withLock { $0.calls.isEmpty })
        }
    }
}
