import Testing
import WeftAPI
import WeftModel
import WeftNet
import WeftText

@Suite struct AttachmentTests {
    private static func withNetwork(
        _ body: @escaping @Sendable (RawClient, MemoryBackend) async throws -> Void
    ) async throws {
        try await withServer { client, backend async throws in
            #expect(try await client.send("POST", "/weft/v1/attachments", #"{"Network":"n1"}"#).status == 503)
            _ = try await client.send("POST", "/swarm/init", "{}")
            for text in [
                #"{"Name":"n1","Driver":"overlay","Attachable":true,"IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]}}"#,
                #"{"Name":"closed","Driver":"overlay"}"#,
            ] {
                #expect(try await client.send("POST", "/networks/create", text).status == 201)
            }
            try await body(client, backend)
        }
    }

    @Test func `an attachment is made, found, listed and removed`() async throws {
        try await Self.withNetwork { client, backend async throws in
            let body = """
                {"Network":"n1","SandboxID":"c-1","NamespacePath":"/run/netns/x","Interface":"net7","Name":"a.b","Aliases":["db"],
                "IPv4Address":"10.9.0.77","MacAddress":"02:11:22:33:44:55","DefaultRoute":false,"Owner":"conf"}
                """
            let made = try await client.send("POST", "/weft/v1/attachments", body)
            #expect(made.status == 201)
            let json = try made.json()
            #expect(
                json == [
                    "SandboxID": "c-1", "Interface": "net7", "NamespacePath": "/run/netns/x",
                    "NetworkID": json["NetworkID"] ?? .null, "Network": "n1", "EndpointID": "ep1", "Name": "a.b",
                    "Aliases": ["db"], "IPAddress": "10.9.0.77", "IPPrefixLen": 24,
                    "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "Gateway": "10.9.0.1",
                    "MacAddress": "02:11:22:33:44:55", "HostInterface": "wv00000001", "DefaultRoute": false,
                    "Nameservers": ["169.254.77.53"], "Owner": "conf", "Problem": "",
                ])
            #expect(backend.read { $0.lastAttachment }?.interface.takesDefaultRoute == false)
            #expect(try await client.send("GET", "/weft/v1/attachments/c-1/net7").json() == json)
            #expect(try await client.send("GET", "/weft/v1/attachments").json() == [json])
            #expect(try await client.send("GET", "/weft/v1/attachments/c-1/net8").status == 404)
            for _ in 0..<2 {
                #expect(try await client.send("DELETE", "/weft/v1/attachments/c-1/net7").status == 204)
            }
            #expect(try await client.send("GET", "/weft/v1/attachments").text == "[]\n")
        }
    }

    @Test func `a container's id is as long as everything behind takes it, and no longer`() async throws {
        try await Self.withNetwork { client, _ async throws in
            func body(_ length: Int) -> String {
                #"{"Network":"n1","SandboxID":"\#(String(repeating: "c", count: length))","NamespacePath":"/run/netns/x"}"#
            }
            #expect(try await client.send("POST", "/weft/v1/attachments", body(Bounds.idBytes)).status == 201)
            for length in [Bounds.idBytes + 1, 200, 201] {
                let answer = try await client.send("POST", "/weft/v1/attachments", body(length))
                #expect(answer.status == 400 && answer.message?.contains("up to \(Bounds.idBytes) characters") == true)
            }
        }
    }

    @Test func `what is left out has a default`() async throws {
        try await Self.withNetwork { client, backend async throws in
            let body = #"{"Network":"n1","SandboxID":"0123456789abcdef","NamespacePath":"/run/netns/x"}"#
            #expect(try await client.send("POST", "/weft/v1/attachments", body).status == 201)
            let asked = backend.read { $0.lastAttachment }?.interface
            #expect(asked?.interface == "eth0" && asked?.endpoint.name == "0123456789ab" && asked?.takesDefaultRoute == true)
            #expect(asked?.endpoint.ipv4 == nil && asked?.endpoint.mac == nil && asked?.endpoint.aliases == [])
        }
    }

    @Test(arguments: [
        (#""Network":"nix","SandboxID":"c","NamespacePath":"/n""#, 404, "nix"),
        (#""Network":"closed","SandboxID":"c","NamespacePath":"/n""#, 403, "not manually attachable"),
        (#""SandboxID":"c","NamespacePath":"/n""#, 400, "Network"),
        (#""Network":"n1","NamespacePath":"/n""#, 400, "SandboxID"),
        (#""Network":"n1","SandboxID":"../x","NamespacePath":"/n""#, 400, "SandboxID"),
        (#""Network":"n1","SandboxID":"c@eth0","NamespacePath":"/n""#, 400, "SandboxID"),
        (#""Network":"n1","SandboxID":"c""#, 400, "NamespacePath"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"netns""#, 400, "NamespacePath"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","Interface":"a/b""#, 400, "Interface"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","Interface":"..""#, 400, "Interface"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","Interface":"sixteen-letters-""#, 400, "Interface"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","Name":"a b""#, 400, "Name"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","Aliases":["a b"]"#, 400, "alias"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","MacAddress":"xx""#, 400, "MacAddress"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","IPv4Address":"10.8.0.1""#, 400, "10.8.0.1"),
        (#""Network":"n1","SandboxID":"c","NamespacePath":"/n","IPv4Address":"10.9.0.1""#, 400, "gateway"),
    ])
    func `bad requests are refused with a reason`(members: String, status: Int, text: String) async throws {
        try await Self.withNetwork { client, backend async throws in
            let answer = try await client.send("POST", "/weft/v1/attachments", "{\(members)}")
            #expect(answer.status == status)
            #expect(answer.text.contains(text))
            #expect(backend.read { $0.attachments.isEmpty })
        }
    }
}
