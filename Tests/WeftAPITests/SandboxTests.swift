import Testing
import WeftAPI
import WeftModel
import WeftNet
import WeftText

@Suite struct SandboxTests {
    private static func withNetworks(
        _ body: @escaping @Sendable (RawClient, MemoryBackend) async throws -> Void
    ) async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            for text in [
                #"{"Name":"n1","Driver":"overlay","Attachable":true,"IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]}}"#,
                #"{"Name":"n2","Driver":"overlay","Attachable":true}"#, #"{"Name":"closed","Driver":"overlay"}"#,
            ] {
                #expect(try await client.send("POST", "/networks/create", text).status == 201)
            }
            try await body(client, backend)
        }
    }

    @Test func `outside a swarm a sandbox is on no network, and it is told what to do`() async throws {
        try await withServer { client, backend async throws in
            let refused = try await client.send("POST", "/weft/v1/sandboxes", #"{"Command":["a"],"Networks":[{"Network":"n1"}]}"#)
            #expect(refused.status == 503 && refused.message?.hasPrefix("This node is not part of a swarm") == true)
            #expect(refused.message?.contains("weft swarm init") == true && refused.message?.contains("weft swarm join") == true)
            #expect(try await client.send("POST", "/weft/v1/sandboxes", #"{"Command":["a"],"Name":"a1"}"#).status == 201)
            let connected = try await client.send("POST", "/weft/v1/sandboxes/a1/connect", #"{"Network":"n1"}"#)
            #expect(connected.status == 503 && connected.message == refused.message)
        }
    }

    @Test func `a sandbox is made, run, listed, stopped and removed`() async throws {
        try await Self.withNetworks { client, backend async throws in
            let body = """
                {"Name":"a1","Hostname":"h","Command":["sh","-c","x"],"Env":["A=b"],"RootFS":"/srv/root","WorkingDir":"/tmp",
                "Tty":true,"OpenStdin":true,"AutoRemove":true,"Dns":["9.9.9.9"],
                "Networks":[{"Network":"n1","IPv4Address":"10.9.0.77","Aliases":["web"]},{"Network":"n2"}]}
                """
            let created = try await client.send("POST", "/weft/v1/sandboxes", body)
            #expect(created.status == 201)
            #expect(
                try created.json() == [
                    "Id": "5a5b0xbox", "Name": "a1", "Socket": "/run/weft/5a5b0xbox/shim.sock",
                    "Directory": "/run/weft/5a5b0xbox", "Warnings": [],
                ])
            let sent = backend.read { $0.lastCreate }
            #expect(sent?.command == ["sh", "-c", "x"] && sent?.environment == ["A=b"] && sent?.rootFS == "/srv/root")
            #expect(
                sent?.hostname == "h" && sent?.workingDirectory == "/tmp" && sent?.dns.map(\.description) == ["9.9.9.9"]
            )
            #expect(sent?.tty == true && sent?.openStdin == true && sent?.autoRemove == true)
            #expect(sent?.networks.count == 2 && sent?.networks.first?.aliases == ["web"])
            #expect(try await client.send("GET", "/weft/v1/sandboxes").text == "[]\n")
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/start").status == 204)
            guard case .array(let list) = try await client.send("GET", "/weft/v1/sandboxes").json() else {
                throw RawClient.Failure(reason: "no list or object where one is expected")
            }
            let shown = try await client.send("GET", "/weft/v1/sandboxes/5a5").json()
            #expect(list == [shown] && shown["State"] == "running" && shown["Pid"] == 4242)
            #expect(shown["FinishedAt"] == "0001-01-01T00:00:00Z" && shown["Command"] == ["sh", "-c", "x"])
            #expect(
                shown["Networks"]?["n1"] == [
                    "IPAddress": "10.9.0.77", "MacAddress": "02:42:0a:09:00:4d", "EndpointID": "ep6",
                    "NetworkID": "net24dgis952rg9d3ke5pj2w9t", "Gateway": "10.9.0.1", "IPPrefixLen": 24,
                    "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "Aliases": ["web"],
                ])
            #expect(try await client.send("DELETE", "/weft/v1/sandboxes/a1").status == 409)
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/kill?signal=SIGUSR1").status == 204)
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/kill?signal=NOPE").status == 400)
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/stop?t=3").status == 204)
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/stop?t=x").status == 400)
            #expect(backend.read { $0.signals } == [10] && backend.read { $0.stopTimeouts } == [.seconds(3)])
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/kill").status == 409)
            #expect(try await client.send("DELETE", "/weft/v1/sandboxes/a1").status == 204)
            let gone = try await client.send("GET", "/weft/v1/sandboxes/a1")
            #expect(gone.status == 404 && gone.message == "No such sandbox: a1")
        }
    }

    @Test(arguments: [
        (#"{}"#, 400, "Command"), (#"{"Command":[""]}"#, 400, "Command"), (#"{"Command":"sh"}"#, 400, "list"),
        (#"{"Command":["sh"],"Name":"a b"}"#, 400, "sandbox name"),
        (#"{"Command":["sh"],"Env":["A"]}"#, 400, "NAME=value"),
        (#"{"Command":["sh"],"RootFS":"rel"}"#, 400, "absolute"), (#"{"Command":["s\u0000h"]}"#, 400, "NUL"),
        (#"{"Command":["sh"],"Dns":["::1"]}"#, 400, "IPv6"),
        (#"{"Command":["sh"],"Networks":[{}]}"#, 400, "Networks[0].Network"),
        (#"{"Command":["sh"],"Networks":[{"Network":"no"}]}"#, 404, "network no not found"),
        (#"{"Command":["sh"],"Networks":[{"Network":"closed"}]}"#, 403, "network closed not manually attachable"),
        (#"{"Command":["sh"],"Networks":[{"Network":"n1"},{"Network":"n1"}]}"#, 400, "twice"),
        (#"{"Command":["sh"],"Networks":[{"Network":"n1","IPv4Address":"10.8.0.1"}]}"#, 400, "10.9.0.0/24"),
        (#"{"Command":["sh"],"Networks":[{"Network":"n1","IPv4Address":"10.9.0.255"}]}"#, 400, "no host address"),
        (#"{"Command":["sh"],"Networks":[{"Network":"n1","IPv4Address":"10.9.0.1"}]}"#, 400, "gateway"),
        (#"{"Command":["sh"],"Networks":[{"Network":"n1","Aliases":["-x"]}]}"#, 400, "alias"),
    ])
    func `what a sandbox cannot be is refused`(body: String, status: Int, text: String) async throws {
        try await Self.withNetworks { client, backend async throws in
            let answer = try await client.send("POST", "/weft/v1/sandboxes", body)
            #expect(answer.status == status && answer.message?.contains(text) == true, "\(answer.text)")
            #expect(try backend.sandboxes().isEmpty)
        }
    }

    @Test func `a sandbox's name is taken once`() async throws {
        try await Self.withNetworks { client, _ async throws in
            let body = #"{"Command":["sh"],"Name":"a1"}"#
            #expect(try await client.send("POST", "/weft/v1/sandboxes", body).status == 201)
            #expect(try await client.send("POST", "/weft/v1/sandboxes", body).status == 409)
        }
    }

    @Test func `networks are joined and left, by Weft's route and by Docker's`() async throws {
        try await Self.withNetworks { client, backend async throws in
            _ = try await client.send("POST", "/weft/v1/sandboxes", #"{"Command":["sh"],"Name":"a1"}"#)
            let own = #"{"Network":"n1","IPv4Address":"10.9.0.50","Aliases":["x"]}"#
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/connect", own).status == 204)
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/connect", own).status == 403)
            let docker =
                #"{"Container":"a1","EndpointConfig":{"IPAMConfig":null,"Links":null,"Aliases":["y"],"MacAddress":"","DriverOpts":{},"GwPriority":0}}"#
            #expect(try await client.send("POST", "/networks/n2/connect", docker).status == 200)
            #expect(try backend.clusterSnapshot().endpoints.map(\.aliases) == [["x"], ["y"]])
            #expect(
                try await client.send("POST", "/networks/n2/disconnect", #"{"Container":"a1","Force":true}"#).status
                    == 200)
            let leave = #"{"Network":"n1"}"#
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/disconnect", leave).status == 204)
            #expect(try await client.send("POST", "/weft/v1/sandboxes/a1/disconnect", leave).status == 403)
            #expect(try backend.clusterSnapshot().endpoints.isEmpty)
            let container = try await client.send("POST", "/networks/n2/connect", #"{"Container":"c1"}"#)
            #expect(container.status == 503 && container.message?.hasPrefix("no container engine") == true)
        }
    }

    @Test func `status shows counters and peers`() async throws {
        try await Self.withNetworks { client, _ async throws in
            let body = #"{"Command":["sh"],"Name":"a1","Networks":[{"Network":"n1","IPv4Address":"10.9.0.50"}]}"#
            _ = try await client.send("POST", "/weft/v1/sandboxes", body)
            let status = try await client.send("GET", "/weft/v1/status").json()
            #expect(
                status["Endpoints"] == [
                    [
                        "EndpointID": "ep6", "Name": "a1", "Network": "my_net", "IPAddress": "10.9.0.50",
                        "GlobalIPv6Address": "", "Interface": "wv00000001", "SentPackets": 3, "SentBytes": 0, "ReceivedPackets": 0,
                        "ReceivedBytes": 0, "Drops": ["FORGED_SOURCE": 1, "NO_ENDPOINT": 2], "Problem": "",
                    ]
                ])
            #expect(
                status["Underlay"]
                    == [
                        "Interface": "eth0", "Address": "172.30.0.1", "MTU": 1500, "Port": 4789, "Attachment": "tc",
                        "Translation": "interface", "TranslationProblem": "no cgroup2", "PortProblems": [], "Drops": [:],
                    ])
            #expect(status["Session"] == ["Connected": true, "Manager": "172.30.0.1:2377", "AppliedRevision": 10, "Problem": ""])
            #expect(
                status["Peers"] == [
                    [
                        "NodeID": "ilvid9zat14ivlex8yuy7qccv", "Hostname": "host1", "State": "ready",
                        "Address": "172.30.0.1",
                    ]
                ])
        }
    }
}
