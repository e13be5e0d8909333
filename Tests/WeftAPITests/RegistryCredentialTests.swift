import Testing
import WeftAPI
import WeftEngine
import WeftModel
import WeftText

@Suite("Credentials for the registries of services' images")
struct RegistryCredentialTests {
    private static let secret = Base64.encoded(Array(#"{"username":"u","password":"hush"}"#.utf8))
    private static let other = Base64.encoded(Array(#"{"username":"u","password":"psst??>>"}"#.utf8)).map {
        $0 == "+" ? "-" : $0 == "/" ? "_" : String($0)
    }.joined()

    private static func body(_ name: String = "web", image: String = "bb") -> String {
        #"{"Name":"\#(name)","TaskTemplate":{"ContainerSpec":{"Image":"\#(image)"}},"Mode":{"Replicated":{"Replicas":1}}}"#
    }

    private static func header(_ text: String) -> String { "X-Registry-Auth: \(text)\r\n" }

    private static func withSwarm(_ body: @escaping @Sendable (RawClient, MemoryBackend) async throws -> Void) async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            try await body(client, backend)
        }
    }

    private static func kept(_ backend: MemoryBackend) throws -> String? {
        try #require(backend.read { $0.services.first }).spec.task.container.registryCredentials?.exposed
    }

    /// An update under the service's newest version.
    private static func update(
        _ client: RawClient, _ backend: MemoryBackend, _ query: String = "", image: String = "bb", headers: String = ""
    ) async throws -> RawResponse {
        let version = try #require(backend.read { $0.services.first }).version.index
        return try await client.send(
            "POST", "/services/web/update?version=\(version)\(query)", body(image: image), headers: headers)
    }

    @Test func `they are kept with the service, and shown by nothing`() async throws {
        try await Self.withSwarm { client, backend async throws in
            let created = try await client.send("POST", "/services/create", Self.body(), headers: Self.header(Self.secret))
            #expect(created.status == 201)
            #expect(try Self.kept(backend) == Self.secret)
            backend.addTask(of: "web", slot: 1, state: .running)
            #expect(try await Self.update(client, backend, image: "bb:2").status == 200)
            for path in ["/services/web", "/services/web?insertDefaults=true", "/services", "/tasks"] {
                let shown = try await client.send("GET", path)
                #expect(shown.status == 200 && shown.text.contains("bb"))
                #expect(!shown.text.contains(Self.secret.prefix(16)) && !shown.text.contains("PullOptions"))
            }
        }
    }

    @Test func `an update without any keeps those there are; others take their place, and none at all takes them away`() async throws {
        try await Self.withSwarm { client, backend async throws in
            _ = try await client.send("POST", "/services/create", Self.body(), headers: Self.header(Self.secret))
            #expect(try await Self.update(client, backend, "&registryAuthFrom=spec", image: "bb:2").status == 200)
            #expect(try Self.kept(backend) == Self.secret)
            #expect(try await Self.update(client, backend, headers: Self.header(Self.other)).status == 200)
            #expect(try Self.kept(backend) == Self.other)
            #expect(try await Self.update(client, backend, "&registryAuthFrom=previous-spec").status == 200)
            #expect(try Self.kept(backend) == Self.secret)
            #expect(try await Self.update(client, backend, headers: Self.header(Base64.encoded(Array("{}".utf8)))).status == 200)
            #expect(try Self.kept(backend) == nil)
            #expect(try await Self.update(client, backend, "&rollback=previous").status == 200)
            #expect(try Self.kept(backend) == Self.secret)
        }
    }

    @Test func `what makes no sense is refused`() async throws {
        try await Self.withSwarm { client, backend async throws in
            for bad in ["%%%", Base64.encoded(Array("[1]".utf8)), Base64.encoded(Array("no".utf8))] {
                let refused = try await client.send("POST", "/services/create", Self.body(), headers: Self.header(bad))
                #expect(refused.status == 400 && refused.message?.contains("X-Registry-Auth") == true)
            }
            _ = try await client.send("POST", "/services/create", Self.body())
            #expect(try Self.kept(backend) == nil)
            let from = try await Self.update(client, backend, "&registryAuthFrom=nowhere")
            #expect(from.status == 400 && from.message?.contains("previous-spec") == true)
            let former = try await Self.update(client, backend, "&registryAuthFrom=previous-spec")
            #expect(former.status == 400 && former.message == "service does not have a previous spec")
            #expect(try await Self.update(client, backend).status == 200)
            let back = try await Self.update(client, backend, "&rollback=previous", headers: Self.header(Self.secret))
            #expect(back.status == 400 && back.message?.contains("rollback") == true)
        }
    }
}

@Suite("Digests of images")
struct DistributionTests {
    @Test func `are the engine's to ask the registry for, with what the registry is to be shown`() async throws {
        let asked = Noted<[String]>([])
        let answer = #"{"Descriptor":{"digest":"sha256:1"},"Platforms":[]}"#
        try await withEngine(
            serve: { wire in
                let request = wire.readText(until: "\r\n\r\n")
                guard request.contains("/distribution/") else {
                    wire.send("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK")
                    return
                }
                asked.change { $0.append(request) }
                let isKnown = request.contains("/reg/nginx:1/")
                let text = isKnown ? answer : #"{"message":"no route to registry"}"#
                wire.send(
                    "HTTP/1.1 \(isKnown ? 200 : 500) X\r\nContent-Type: application/json\r\n"
                        + "Content-Length: \(text.utf8.count)\r\n\r\n\(text)")
            }
        ) { path in
            let wire = try Wire.connected(to: path)
            wire.send(
                "GET /v1.41/distribution/reg/nginx:1/json HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: c2VjcmV0\r\nConnection: close\r\n\r\n")
            let found = String(decoding: wire.readToEnd(), as: UTF8.self)
            #expect(found.hasPrefix("HTTP/1.1 200 ") && found.hasSuffix(answer))
            let other = try Wire.connected(to: path)
            other.send("GET /v1.41/distribution/local/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
            let refused = String(decoding: other.readToEnd(), as: UTF8.self)
            #expect(refused.hasPrefix("HTTP/1.1 500 ") && refused.contains("no route to registry"))
        }
        #expect(asked.value.count == 2)
        #expect(asked.value.first?.lowercased().contains("x-registry-auth: c2vjcmv0\r\n") == true)
    }
}
