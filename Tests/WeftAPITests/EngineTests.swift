import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing
import WeftModel
import WeftText

@testable import WeftAPI
@testable import WeftEngine

/// What is read or changed on its way to the engine.
@Suite(.timeLimit(.minutes(5))) struct EngineTests {
    /// A swarm with the network my_net, attachable unless said otherwise.
    private static func swarm(_ client: RawClient, attachable: Bool = true) async throws -> String {
        #expect(try await client.send("POST", "/swarm/init", "{}").status == 200)
        let made = try await client.send(
            "POST", "/networks/create", #"{"Name":"my_net","Driver":"overlay","Attachable":\#(attachable)}"#)
        guard case .string(let id)? = try made.json()["Id"] else { throw RawClient.Failure(reason: made.text) }
        return id
    }

    private static let shadowID = String(repeating: "5", count: 64)

    /// An engine with networks that can be made, listed and removed, and containers that remember their body.
    private final class Engine: Sendable {
        struct State {
            var requests: [String] = []
            var bodies: [String] = []
            /// Name to JSON.
            var networks: [String: String] = [:]
            var containers = "[]"
            /// Containers by name, and what was asked when they were connected.
            var inspected: [String: String] = [:]
            var connections: [String] = []
            var refusesStart = false
        }
        let state = Mutex(State())
        var requests: [String] { state.withLock { $0.requests } }
        func count(_ start: String) -> Int { requests.count { $0.hasPrefix(start) } }

        func answer(_ method: String, _ target: String, _ body: String) -> (Int, String) {
            state.withLock { state in
                state.requests.append("\(method) \(target)")
                let path = target.replacingOccurrences(of: "/v1.41", with: "").split(separator: "?").first.map(String.init) ?? ""
                switch (method, path) {
                case ("GET", "/_ping"): return (200, "OK")
                case ("GET", "/networks"):
                    return (200, "[" + state.networks.sorted { $0.key < $1.key }.map(\.value).joined(separator: ",") + "]")
                case ("POST", "/networks/create"):
                    guard let json = try? JSON.parse(Array(body.utf8)), case .string(let name)? = json["Name"] else { return (400, "{}") }
                    guard state.networks[name] == nil else { return (409, #"{"message":"exists"}"#) }
                    let labels = json["Labels"].map { String(decoding: $0.utf8, as: UTF8.self) } ?? "{}"
                    let driver = json["Driver"].map { String(decoding: $0.utf8, as: UTF8.self) } ?? "\"bridge\""
                    state.networks[name] =
                        #"{"Id":"\#(EngineTests.shadowID)","Name":"\#(name)","Driver":\#(driver),"Labels":\#(labels)}"#
                    state.bodies.append(body)
                    return (201, #"{"Id":"\#(EngineTests.shadowID)","Warning":""}"#)
                case ("POST", "/networks/prune"): return (200, #"{"NetworksDeleted":["loc","docker_gwbridge"]}"#)
                case ("POST", "/containers/create"):
                    state.bodies.append(body)
                    return (201, #"{"Id":"c0","Warnings":[]}"#)
                case ("GET", "/containers/json"): return (200, state.containers)
                case ("GET", "/containers/c/json"):
                    return (
                        200,
                        #"{"HostConfig":{"Dns":["169.254.77.53","9.9.9.9"]},"NetworkSettings":{"Networks":{"my_net":{"NetworkID":"\#(EngineTests.shadowID)"}}}}"#
                    )
                case ("GET", "/info"): return (200, #"{"ID":"engine","Containers":3,"Swarm":{"NodeID":"other"}}"#)
                case ("DELETE", _):
                    state.networks = state.networks.filter { !$0.value.contains(path.split(separator: "/").last ?? "") }
                    return (204, "")
                case ("POST", _) where path.hasSuffix("/connect"):
                    state.connections.append(body)
                    return (200, "")
                case ("POST", _) where path.hasSuffix("/disconnect"): return (200, "")
                case ("POST", "/containers/s/start") where state.refusesStart:
                    return (404, #"{"message":"network 0123 not found"}"#)
                case ("POST", _) where path.hasSuffix("/start") || path.hasSuffix("/restart"): return (204, "")
                case ("GET", _) where path.hasPrefix("/containers/") && state.inspected[String(path.split(separator: "/")[1])] != nil:
                    return (200, state.inspected[String(path.split(separator: "/")[1])] ?? "")
                case ("GET", _):
                    guard let found = state.networks[String(path.split(separator: "/").last ?? "")] else {
                        return (404, #"{"message":"network not found"}"#)
                    }
                    return (200, found)
                default: return (404, #"{"message":"page not found"}"#)
                }
            }
        }
    }

    private func with(apiVersion: String = "1.41", _ body: @escaping @Sendable (RawClient, Engine) async throws -> Void) async throws {
        try await with(MemoryBackend(), apiVersion: apiVersion, body)
    }

    private func with(
        _ backend: MemoryBackend, apiVersion: String = "1.41",
        _ body: @escaping @Sendable (RawClient, Engine) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-eng-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let engine = Engine()
        let fake = try FakeEngine(
            path: directory.appendingPathComponent("engine.sock").path,
            FakeEngine.answering(apiVersion: apiVersion) { engine.answer($0, $1, $2) })
        defer { fake.stop() }
        let path = directory.appendingPathComponent("docker.sock").path
        try await serve(backend, path, engine: LocalEngine(socketPath: fake.path, patience: patience)) {
            try await body(RawClient(path: path), engine)
        }
    }

    @Test func `the shadow of a network with IPv6 has both pools, and --ip6 is checked before the engine hears of it`() async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client)
            let network =
                #"{"Name":"six","Driver":"overlay","Attachable":true,"EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"10.8.0.0/24"},{"Subnet":"fd00:8::/64"}]}}"#
            #expect(try await client.send("POST", "/networks/create", network).status == 201)
            func create(_ network: String, _ address: String) async throws -> RawResponse {
                try await client.send(
                    "POST", "/v1.41/containers/create",
                    #"{"Image":"a","HostConfig":{"NetworkMode":"\#(network)"},"NetworkingConfig":{"EndpointsConfig":{"\#(network)":{"IPAMConfig":{"IPv6Address":"\#(address)"}}}}}"#
                )
            }
            for (name, address, text) in [
                ("my_net", "fd00:8::5", "has no IPv6"), ("six", "fd00:9::5", "fd00:8::/64"), ("six", "fd00:8::1", "gateway"),
                ("six", "five", "not an IPv6 address"),
            ] {
                let refused = try await create(name, address)
                #expect(refused.status == 400 && refused.message?.contains(text) == true, "\(refused.text)")
            }
            #expect(engine.count("POST /networks/create") == 0)
            #expect(try await create("six", "fd00:8::5").status == 201)
            let body = try #require(engine.state.withLock { $0.bodies }.first)
            let shadow = try JSON.parse(Array(body.utf8))
            #expect(shadow["EnableIPv6"] == true)
            guard case .array(let pools)? = shadow["IPAM"]?["Config"] else {
                throw RawClient.Failure(reason: "no pools: \(body)")
            }
            #expect(pools.map { $0["Subnet"] } == ["10.8.0.0/24", "fd00:8::/64"])
            #expect(pools.map { $0["Gateway"] } == ["10.8.0.1", "fd00:8::1"])
        }
    }

    @Test func `how new a client may be is the engine's matter, asked before or not`() async throws {
        try await with(apiVersion: "1.48") { client, _ async throws in
            #expect(try await client.send("GET", "/v1.48/swarm").status == 503)
            let new = try await client.send("GET", "/v1.49/swarm")
            #expect(new.status == 400)
            #expect(new.message == "client version 1.49 is too new. Maximum supported API version is 1.48")
        }
    }

    @Test func `containers that start at once make one shadow`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            try await withThrowingTaskGroup { group in
                for _ in 0..<8 {
                    group.addTask {
                        let made = try await client.send(
                            "POST", "/v1.41/containers/create?name=x", #"{"Image":"a","HostConfig":{"NetworkMode":"my_net","Dns":[]}}"#)
                        #expect(made.status == 201 && made.text.contains("c0"))
                    }
                }
                try await group.waitForAll()
            }
            #expect(engine.count("POST /networks/create") == 1)
            #expect(engine.count("POST /v1.41/containers/create?name=x") == 8)
            let bodies = engine.state.withLock { $0.bodies }
            let shadow = try JSON.parse(Array(bodies[0].utf8))
            #expect(shadow["Driver"] == "weft" && shadow["IPAM"]?["Driver"] == "weft")
            #expect(shadow["Options"] == ["weft.id": .string(id)] && shadow["IPAM"]?["Options"] == ["weft.id": .string(id)])
            #expect(shadow["Labels"] == ["io.weft.id": .string(id)])
            let container = try JSON.parse(Array(bodies[1].utf8))
            #expect(container["HostConfig"]?["Dns"] == ["169.254.77.53"] && container["Image"] == "a")
        }
    }

    @Test func `all ways to name a network are seen, and the user's servers kept`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            for body in [
                #"{"HostConfig":{"NetworkMode":"\#(id)","Dns":["9.9.9.9"]},"NetworkingConfig":{"EndpointsConfig":{"\#(id)":{"Aliases":["z"]}}}}"#,
                #"{"HostConfig":{"NetworkMode":"default","Dns":["9.9.9.9"]},"NetworkingConfig":{"EndpointsConfig":{"my_net":null}}}"#,
                #"{"HostConfig":{"NetworkMode":"my_net","Dns":["9.9.9.9"]},"NetworkingConfig":{"my_net":null}}"#,
            ] {
                #expect(try await client.send("POST", "/containers/create", body).status == 201)
                let sent = try JSON.parse(Array(engine.state.withLock { $0.bodies.last ?? "" }.utf8))
                #expect(sent["HostConfig"]?["Dns"] == ["169.254.77.53", "9.9.9.9"])
                #expect(!String(decoding: sent.utf8, as: UTF8.self).contains(id), "the engine knows the network by name only")
            }
            #expect(engine.count("POST /networks/create") == 1)
            // A container on networks of the engine goes as it came.
            let plain = #"{ "HostConfig": {"NetworkMode":"bridge"} }"#
            #expect(try await client.send("POST", "/containers/create", plain).status == 201)
            #expect(engine.state.withLock { $0.bodies.last } == plain)
        }
    }

    @Test func `a network that is not attachable refuses containers`() async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client, attachable: false)
            let refused = try await client.send("POST", "/containers/create", #"{"HostConfig":{"NetworkMode":"my_net"}}"#)
            #expect(refused.status == 403)
            #expect(
                refused.message
                    == "Could not attach to network my_net: rpc error: code = PermissionDenied desc = network my_net not manually attachable"
            )
            let connect = try await client.send("POST", "/networks/my_net/connect", #"{"Container":"c"}"#)
            #expect(connect.status == 403)
            #expect(engine.count("POST /networks/create") == 0 && engine.count("POST /containers") == 0)
        }
    }

    @Test func `the engine's own network of that name is not taken for the swarm's`() async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client)
            engine.state.withLock { $0.networks["my_net"] = #"{"Id":"l","Name":"my_net","Driver":"bridge","Labels":{}}"# }
            let refused = try await client.send("POST", "/containers/create", #"{"HostConfig":{"NetworkMode":"my_net"}}"#)
            #expect(refused.status == 409 && refused.message?.contains("a network of its own by that name") == true)
            // Neither can be made beside the other.
            engine.state.withLock { $0.networks["loc"] = #"{"Id":"l2","Name":"loc","Driver":"bridge","Labels":{}}"# }
            #expect(try await client.send("POST", "/networks/create", #"{"Name":"loc","Driver":"overlay"}"#).status == 409)
            #expect(try await client.send("POST", "/networks/create", #"{"Name":"my_net","Driver":"bridge"}"#).status == 409)
        }
    }

    @Test func `networks show once, local ones beside the swarm's`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            _ = try await client.send("POST", "/containers/create", #"{"HostConfig":{"NetworkMode":"my_net"}}"#)
            #expect(try await client.send("POST", "/networks/create", #"{"Name":"loc","Driver":"bridge"}"#).status == 201)
            guard case .array(let list) = try await client.send("GET", "/networks").json() else { throw RawClient.Failure(reason: "") }
            #expect(list.compactMap { $0["Name"] } == ["loc", "my_net"])
            #expect(list.last?["Id"] == .string(id))
            #expect(try await client.send("GET", "/networks/my_net").json()["Id"] == .string(id))
            #expect(try await client.send("GET", "/networks/loc").json()["Driver"] == "bridge")
            #expect(try await client.send("GET", "/networks/nosuch").status == 404)
        }
    }

    @Test func `pruning leaves shadows alone, and removing takes them along`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            _ = try await client.send("POST", "/containers/create", #"{"HostConfig":{"NetworkMode":"my_net"}}"#)
            #expect(try await client.send("DELETE", "/networks/\(id)").status == 204)
            #expect(engine.count("DELETE /networks/\(Self.shadowID)") == 1)
            let pruned = try await client.send("POST", "/networks/prune?filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D")
            #expect(try pruned.json()["NetworksDeleted"] == ["loc"])
            let sent = engine.requests.last { $0.contains("/networks/prune") }?.removingPercentEncoding
            #expect(sent == #"POST /networks/prune?filters={"label":{"a":true},"label!":{"io.weft.id":true}}"#)
            // The bridge by which containers reach the outside is made anew.
            #expect(engine.requests.last == "POST /networks/create")
        }
    }

    @Test func `the engine's ids of shadows do not show, nor the resolver`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            _ = try await client.send("POST", "/containers/create", #"{"HostConfig":{"NetworkMode":"my_net"}}"#)
            let shown = try await client.send("GET", "/v1.41/containers/c/json").json()
            #expect(shown["NetworkSettings"]?["Networks"]?["my_net"]?["NetworkID"] == .string(id))
            #expect(shown["HostConfig"]?["Dns"] == ["9.9.9.9"])
            _ = try await client.send("GET", "/containers/json?filters=%7B%22network%22%3A%7B%22\(id)%22%3Atrue%7D%7D")
            #expect(engine.requests.last?.contains(Self.shadowID) == true)
        }
    }

    @Test func `who starts a container is known while the engine asks for its addresses`() async throws {
        let backend = MemoryBackend()
        try await with(backend) { client, engine async throws in
            _ = try await Self.swarm(client)
            #expect(try await client.send("POST", "/v1.41/containers/c/start").status == 204)
            #expect(try await client.send("POST", "/containers/c/restart?t=0").status == 204)
            #expect(engine.count("POST /v1.41/containers/c/start") == 1)
            #expect(engine.count("POST /containers/c/restart?t=0") == 1)
            #expect(backend.read { $0.started } == ["c", "c"])
        }
    }

    @Test func `connect and disconnect go by the engine's name`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            #expect(try await client.send("POST", "/v1.41/networks/\(id)/connect", #"{"Container":"c"}"#).status == 200)
            #expect(try await client.send("POST", "/networks/\(id)/disconnect", #"{"Container":"c"}"#).status == 200)
            #expect(engine.count("POST /v1.41/networks/my_net/connect") == 1)
            #expect(engine.count("POST /networks/my_net/disconnect") == 1)
        }
    }

    @Test func `info and ping are the engine's, with our swarm`() async throws {
        try await with { client, _ async throws in
            _ = try await Self.swarm(client)
            let info = try await client.send("GET", "/info").json()
            #expect(info["ID"] == "engine" && info["Swarm"]?["NodeID"] == "ilvid9zat14ivlex8yuy7qccv")
            let ping = try await client.send("HEAD", "/_ping")
            #expect(ping.headers["api-version"] == "1.41" && ping.headers["swarm"] == "active/manager")
        }
    }

    @Test func `idle shadows go only when nobody can need them`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            _ = try await client.send("POST", "/containers/create", #"{"HostConfig":{"NetworkMode":"my_net"}}"#)
            // A container that does not run refers to the network by name alone.
            engine.state.withLock {
                $0.containers =
                    #"[{"Id":"c0","State":"created","NetworkSettings":{"Networks":{"my_net":{"NetworkID":"","EndpointID":""}}}}]"#
            }
            #expect(try await client.send("DELETE", "/networks/\(id)").status == 204)
            #expect(engine.count("DELETE") == 1, "without the swarm's network the shadow goes all the same")
        }
    }

    @Test func `events tell of the swarm's networks by their own names`() {
        let shadows = [Self.shadowID: "cluster"]
        func shown(_ text: String) -> String? {
            Router.shown(Array(text.utf8), shadows).map { String(decoding: $0, as: UTF8.self) }
        }
        let container = #"{"Type":"container","Action":"start","Actor":{"ID":"c"}}"#
        #expect(shown(container) == container)
        func network(_ action: String, _ type: String, _ id: String) -> String {
            #"{"Type":"network","Action":"\#(action)","Actor":{"ID":"\#(id)","Attributes":{"name":"n","type":"\#(type)"}}}"#
        }
        #expect(shown(network("connect", "weft", Self.shadowID)) == network("connect", "overlay", "cluster"))
        #expect(shown(network("create", "weft", Self.shadowID)) == nil)
        #expect(shown(network("create", "bridge", "l")) == network("create", "bridge", "l"))
    }

    private static func event(
        _ kind: ClusterEvent.Kind, _ action: ClusterEvent.Action, _ name: String, at seconds: Int64
    ) -> ClusterEvent {
        ClusterEvent(
            kind: kind, action: action, id: "\(name)-id", attributes: ["name": name],
            time: Instant(nanoseconds: seconds * 1_000_000_000))
    }

    @Test(arguments: [
        ("since=0&until=100", ["h1", "n1", "engine", "n2"]), ("since=2&until=3.5", ["n1", "engine"]),
        (#"since=0&until=100&filters={"type":["network"]}"#, ["n1", "engine", "n2"]),
        (#"since=0&until=100&filters={"network":{"n2":true}}"#, ["engine", "n2"]),
        (#"since=0&until=100&filters={"node":["h1-"]}"#, ["h1", "engine"]),
        (#"since=0&until=100&filters={"scope":["local"]}"#, ["engine"]),
        (#"since=0&until=100&filters={"event":["remove"],"label":["name=n2"]}"#, ["engine", "n2"]),
        ("until=100", ["engine"]),
    ])
    func `the swarm's past events stand among the engine's`(query: String, names: [String]) async throws {
        let line = #"{"Type":"image","Action":"pull","Actor":{"ID":"engine"},"timeNano":3000000000}"# + "\n"
        let backend = MemoryBackend()
        backend.read {
            $0.pastEvents = [
                Self.event(.node, .update, "h1", at: 1), Self.event(.network, .create, "n1", at: 2),
                Self.event(.network, .remove, "n2", at: 4),
            ]
        }
        try await withEngine(backend) { wire in
            _ = wire.readText(until: "\r\n\r\n")
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(line.utf8.count)\r\n\r\n\(line)")
        } _: { path in
            let escaped = query.addingPercentEncoding(withAllowedCharacters: .urlHostAllowed) ?? ""
            let client = try Wire.connected(to: path)
            client.send("GET /v1.41/events?\(escaped) HTTP/1.1\r\nHost: d\r\n\r\n")
            let answer = client.readText(until: "\r\n0\r\n\r\n")
            let told = answer.split(whereSeparator: \.isNewline).compactMap { try? JSON(parsing: Array($0.utf8)) }
            let found = told.compactMap { $0["Actor"]?["Attributes"]?["name"] ?? $0["Actor"]?["ID"] }
            #expect(found == names.map(JSON.string), "\(answer)")
        }
    }

    @Test func `the events of a network of the swarm are found by its id`() async throws {
        let backend = MemoryBackend()
        backend.read { $0.pastEvents = [Self.event(.network, .create, "n1", at: 2)] }
        let asked = Noted("")
        let lines = ["n1", "n10"].map { name in
            #"{"Type":"network","Action":"connect","Actor":{"ID":"\#(name)-id","Attributes":{"name":"\#(name)","type":"weft"}},"timeNano":3}"#
                + "\n"
        }.joined()
        try await withEngine(backend) { wire in
            let head = wire.readText(until: "\r\n\r\n")
            asked.change { $0 = head.removingPercentEncoding ?? "" }
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(lines.utf8.count)\r\n\r\n\(lines)")
        } _: { path in
            let client = try Wire.connected(to: path)
            let filter = #"{"network":["n1-id"]}"#.addingPercentEncoding(withAllowedCharacters: .urlHostAllowed) ?? ""
            client.send("GET /v1.41/events?since=0&until=100&filters=\(filter) HTTP/1.1\r\nHost: d\r\n\r\n")
            let answer = client.readText(until: "\r\n0\r\n\r\n")
            // The engine knows the network by its name.
            #expect(asked.value.contains(#"{"network":["n1","n1-id"]}"#) && asked.value.contains("since=0&until=100"))
            #expect(answer.contains(#""Action":"connect""#) && answer.contains(#""Action":"create""#))
            #expect(!answer.contains("n10"), "its name only begins alike")
        }
    }

    @Test func `without an engine the swarm's events come as they happen`() async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("weft-\(UUID().uuidString.prefix(8)).sock").path
        let backend = MemoryBackend()
        try await serve(backend, path, engine: LocalEngine(socketPath: "/nonexistent/engine.sock", patience: patience)) {
            let told = Task {
                try await onThread {
                    let client = try Wire.connected(to: path)
                    client.send("GET /v1.41/events HTTP/1.1\r\nHost: d\r\n\r\n")
                    return client.readText(until: "}\n")
                }
            }
            try await eventually("nobody follows the events") { backend.read { $0.events != nil } }
            backend.read { _ = $0.events?.yield(Self.event(.network, .create, "n1", at: 7)) }
            let text = try await told.value
            #expect(
                text.hasPrefix("HTTP/1.1 200 OK\r\n")
                    && text.contains(
                        #"{"Type":"network","Action":"create","Actor":{"ID":"n1-id","Attributes":{"name":"n1"}},"#
                            + #""scope":"swarm","time":7,"timeNano":7000000000}"#)
            )
        }
    }

    @Test func `the event stream is followed, and ends with the client`() async throws {
        let ended = Noted(false)
        try await withEngine { wire in
            _ = wire.readText(until: "\r\n\r\n")
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            usleep(50_000)
            wire.send("c\r\n{\"Type\":\"x\"}\r\n1\r\n\n\r\n")
            #expect(wire.read().isEmpty)
            ended.change { $0 = true }
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send("GET /v1.41/events?filters=%7B%7D HTTP/1.1\r\nHost: d\r\n\r\n")
            let answer = client.readText(until: "}\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\nd\r\n{\"Type\":\"x\"}\n\r\n"))
            shutdown(client.descriptor, Int32(SHUT_RDWR))
            #expect(ended.wait { $0 })
        }
    }

    @Test func `without the engine, networks work and containers say what is missing`() async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("weft-\(UUID().uuidString.prefix(8)).sock").path
        try await serve(MemoryBackend(), path, engine: LocalEngine(socketPath: "/nonexistent/engine.sock", patience: patience)) {
            let client = RawClient(path: path)
            _ = try await Self.swarm(client)
            #expect(try await client.send("GET", "/networks").json() != .array([]))
            #expect(try await client.send("HEAD", "/_ping").status == 200)
            #expect(try await client.send("GET", "/info").status == 200)
            for (method, target) in [("GET", "/containers/json"), ("GET", "/images/json"), ("POST", "/containers/create")] {
                let refused = try await client.send(method, target, method == "POST" ? "{}" : nil)
                #expect(refused.status == 503)
                #expect(refused.message == "no container engine is connected to weftd; `weft run` starts a sandbox without one")
            }
        }
    }
}

@Suite struct SecureListenerTests {
    @Test(arguments: ["nowhere", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:2376"])
    func `what cannot be served is refused with a sentence`(address: String) {
        let error = #expect(throws: SecureListener.Invalid.self) {
            try SecureListener(
                address: address, authority: "/nonexistent/ca.pem", certificate: "/nonexistent/cert.pem",
                key: "/nonexistent/key.pem")
        }
        #expect(error?.description.contains(address) == true)
    }
}

/// Which network is meant, and what becomes of it.
extension EngineTests {
    private static let localID = "fa" + String(repeating: "0", count: 62)

    /// An own network of the engine's, called as the beginning of the swarm's network's id.
    private static func addLocal(_ engine: Engine, named name: String) {
        engine.state.withLock { $0.networks[name] = #"{"Id":"\#(localID)","Name":"\#(name)","Driver":"bridge","Labels":{}}"# }
    }

    @Test func `an engine's network whose name begins an id of the swarm's is meant by its name`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            let name = String(id.prefix(1))
            Self.addLocal(engine, named: name)
            #expect(try await client.send("POST", "/v1.41/networks/\(name)/connect", #"{"Container":"c"}"#).status == 200)
            #expect(try await client.send("POST", "/v1.41/networks/\(name)/disconnect", #"{"Container":"c"}"#).status == 200)
            #expect(try await client.send("GET", "/v1.41/networks/\(name)").json()["Driver"] == "bridge")
            let create = #"{"Image":"a","HostConfig":{"NetworkMode":"\#(name)"},"NetworkingConfig":{"EndpointsConfig":{"\#(name)":{}}}}"#
            #expect(try await client.send("POST", "/v1.41/containers/create", create).status == 201)
            #expect(engine.requests.contains("POST /v1.41/networks/\(name)/connect"))
            #expect(engine.requests.contains("POST /v1.41/networks/\(name)/disconnect"))
            #expect(engine.state.withLock { $0.bodies.last } == create && engine.count("POST /networks/create") == 0)
            // A sandbox cannot be on it, and is not put on another in its place.
            let refused = try await client.send("POST", "/weft/v1/sandboxes", #"{"Command":["a"],"Networks":[{"Network":"\#(name)"}]}"#)
            #expect(refused.status == 400 && refused.message?.contains("container engine's") == true)
            #expect(try await client.send("DELETE", "/v1.41/networks/\(name)").status == 204)
            #expect(try await client.send("GET", "/v1.41/networks/my_net").status == 200)
        }
    }

    @Test func `the beginning of an id that fits networks of both kinds is refused`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            engine.state.withLock {
                $0.networks["town"] = #"{"Id":"\#(id.prefix(3))\#(String(repeating: "0", count: 61))","Name":"town","Driver":"bridge"}"#
            }
            for (method, path, body) in [
                ("GET", "/networks/X", ""), ("DELETE", "/networks/X", ""), ("POST", "/networks/X/connect", #"{"Container":"c"}"#),
                ("POST", "/networks/X/disconnect", #"{"Container":"c"}"#),
                ("POST", "/containers/create", #"{"HostConfig":{"NetworkMode":"X"}}"#),
                ("POST", "/weft/v1/sandboxes", #"{"Command":["a"],"Networks":[{"Network":"X"}]}"#),
            ] {
                let text = String(id.prefix(2))
                let answer = try await client.send(
                    method, path.replacingOccurrences(of: "X", with: text), body.replacingOccurrences(of: "X", with: text))
                #expect(answer.status == 400 && answer.message == "network \(text) is ambiguous (2 matches found on ID prefix)", "\(path)")
            }
        }
    }

    @Test func `names that differ by case only are one name, whatever has them`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            Self.addLocal(engine, named: "Town")
            for (name, driver) in [("MY_net", "bridge"), ("town", "overlay"), (id, "bridge"), ("Town", "overlay")] {
                let answer = try await client.send(
                    "POST", "/networks/create", #"{"Name":"\#(name)","Driver":"\#(driver)","Attachable":true}"#)
                #expect(answer.status == 409 && answer.message?.contains("already exists") == true, "\(name): \(answer.text)")
            }
        }
    }

    @Test(arguments: [#"{"network":{"X":true}}"#, #"{"network":["X"],"status":["running"]}"#])
    func `ps knows a network by the beginning of its id`(filters: String) async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            #expect(try await client.send("POST", "/v1.41/networks/my_net/connect", #"{"Container":"x"}"#).status == 200)
            for text in [id, String(id.prefix(6)), "my_net"] {
                let asked = filters.replacingOccurrences(of: "X", with: text)
                _ = try await client.send("GET", "/v1.41/containers/json?all=1&filters=\(asked.percentEncoded)")
                let uri = try #require(engine.requests.last { $0.contains("/containers/json?") })
                #expect(uri.contains("all=1") && uri.contains(Self.shadowID) && uri.contains("my_net"), "\(uri)")
                #expect(uri.contains("status") == filters.contains("status"))
            }
            // What is no network stays as it was asked.
            _ = try await client.send("GET", "/v1.41/containers/json?filters=\(filters.percentEncoded)")
            #expect(engine.requests.last?.contains("%22X%22") == true)
        }
    }

    /// Container `s` does not run, and has these settings on my_net.
    private static func addStopped(_ engine: Engine, _ settings: String) {
        let id = String(repeating: "c", count: 64)
        engine.state.withLock {
            $0.inspected["s"] = #"{"Id":"\#(id)","State":{"Running":false},"NetworkSettings":{"Networks":{"my_net":\#(settings)}}}"#
        }
    }

    @Test(arguments: ["start", "restart"])
    func `a container that was only created starts on the network that has the name by now`(verb: String) async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client)
            Self.addStopped(engine, #"{"NetworkID":"","Aliases":null}"#)
            engine.state.withLock {
                $0.networks["my_net"] = #"{"Id":"77","Name":"my_net","Driver":"weft","Labels":{"io.weft.id":"0former"}}"#
            }
            #expect(try await client.send("POST", "/v1.41/containers/s/\(verb)?t=1").status == 204)
            let requests = engine.requests
            let (gone, made, started) = (
                requests.firstIndex(of: "DELETE /networks/77"), requests.firstIndex(of: "POST /networks/create"),
                requests.firstIndex(of: "POST /v1.41/containers/s/\(verb)?t=1")
            )
            #expect(try #require(gone) < #require(made) && #require(made) < #require(started))
            #expect(engine.count("POST /networks/my_net") == 0)
        }
    }

    @Test func `one that ran before is put on it as it was on the former one`() async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client)
            Self.addStopped(
                engine, #"{"NetworkID":"0123","Aliases":["db","cccccccccccc"],"IPAMConfig":{"IPv4Address":"10.0.0.9"}}"#)
            #expect(try await client.send("POST", "/v1.41/containers/s/start").status == 204)
            #expect(engine.count("POST /networks/my_net/disconnect") == 1 && engine.count("POST /networks/my_net/connect") == 1)
            let config = try JSON.parse(Array(try #require(engine.state.withLock { $0.connections.last }).utf8))["EndpointConfig"]
            #expect(config?["Aliases"] == ["db"] && config?["IPAMConfig"]?["IPv4Address"] == "10.0.0.9")
        }
    }

    @Test func `one whose network is gone is told the network's name`() async throws {
        try await with { client, engine async throws in
            let id = try await Self.swarm(client)
            Self.addStopped(engine, #"{"NetworkID":"\#(Self.shadowID)"}"#)
            engine.state.withLock {
                $0.networks["my_net"] = #"{"Id":"\#(Self.shadowID)","Name":"my_net","Driver":"weft","Labels":{"io.weft.id":"\#(id)"}}"#
                $0.refusesStart = true
            }
            #expect(try await client.send("DELETE", "/networks/\(id)").status == 204)
            let answer = try await client.send("POST", "/v1.41/containers/s/start")
            #expect(answer.status == 404 && answer.message == "network my_net not found")
            // The engine was asked: it removes the container if it was made with --rm.
            #expect(engine.count("POST /v1.41/containers/s/start") == 1)
        }
    }

    @Test func `an engine's own network of that name is the engine's affair`() async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client)
            Self.addStopped(engine, #"{"NetworkID":""}"#)
            Self.addLocal(engine, named: "my_net")
            #expect(try await client.send("POST", "/v1.41/containers/s/start").status == 204)
            #expect(engine.count("POST /networks") == 0)
        }
    }

    @Test func `what is said of a network again before the start takes the place of what was said`() async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client)
            Self.addStopped(engine, #"{"NetworkID":"","Aliases":["aaa"]}"#)
            let body = #"{"Container":"s","EndpointConfig":{"Aliases":["bbb"]}}"#
            #expect(try await client.send("POST", "/v1.41/networks/my_net/connect", body).status == 200)
            let requests = engine.requests.filter { $0.contains("/networks/my_net/") }
            #expect(requests == ["POST /networks/my_net/disconnect", "POST /v1.41/networks/my_net/connect"])
            #expect(engine.state.withLock { $0.connections.last } == body)
        }
    }

    @Test(arguments: ["bad alias", String(repeating: "a", count: 300), String(repeating: "a", count: 64), "a..b", "", "tab\\t"])
    func `an alias that is no name is refused, and named`(alias: String) async throws {
        try await with { client, engine async throws in
            _ = try await Self.swarm(client)
            let text = alias.replacingOccurrences(of: "\\t", with: "\t")
            let create =
                #"{"Image":"a","HostConfig":{"NetworkMode":"my_net"},"NetworkingConfig":{"EndpointsConfig":{"my_net":{"Aliases":["fine","\#(alias)"]}}}}"#
            for (path, body) in [
                ("/v1.41/containers/create", create),
                ("/v1.41/networks/my_net/connect", #"{"Container":"c","EndpointConfig":{"Aliases":["fine","\#(alias)"]}}"#),
            ] {
                let answer = try await client.send("POST", path, body)
                #expect(answer.status == 400 && answer.message?.contains("invalid alias \"\(text)\"") == true, "\(answer.text)")
            }
            #expect(engine.state.withLock { $0.bodies.isEmpty && $0.connections.isEmpty })
        }
    }

    @Test func `a container's name that is none for DNS is taken with a warning`() async throws {
        try await with { client, _ async throws in
            _ = try await Self.swarm(client)
            let name = String(repeating: "n", count: 64)
            let create = #"{"Image":"a","HostConfig":{"NetworkMode":"my_net"}}"#
            let warned = try await client.send("POST", "/v1.41/containers/create?name=\(name)", create)
            #expect(warned.status == 201 && warned.text.contains("\(name) is no name for DNS"))
            let plain = try await client.send("POST", "/v1.41/containers/create?name=fine", create)
            #expect(try plain.json()["Warnings"] == [])
        }
    }
}
