import NIOHTTP1
import Testing
import WeftAPI
import WeftModel

private struct Kinded: KindedError {
    let errorKind: ErrorKind
    var description: String { "what is wrong" }
}

private struct Plain: Error, CustomStringConvertible {
    var description: String { "of no kind" }
}

@Suite struct ErrorTests {
    @Test(arguments: [
        (ErrorKind.invalid, 400), (.unauthorized, 401), (.forbidden, 403), (.notFound, 404), (.conflict, 409), (.failed, 500),
        (.unsupported, 501), (.unavailable, 503),
    ])
    func `an error keeps its kind up to the client`(kind: ErrorKind, status: Int) async throws {
        let routes = [Route(.GET, "fails") { _, _ in throw Kinded(errorKind: kind) }]
        try await withServer(extra: routes) { client, _ async throws in
            let answer = try await client.send("GET", "/fails")
            #expect(answer.status == status && answer.message == "what is wrong")
        }
    }

    @Test func `an error of no kind is this node's fault`() async throws {
        let routes = [Route(.GET, "fails") { _, _ in throw Plain() }]
        try await withServer(extra: routes) { client, _ async throws in
            let answer = try await client.send("GET", "/fails")
            #expect(answer.status == 500 && answer.message == "of no kind")
        }
    }

    @Test func `outside a swarm is Docker's 503`() {
        #expect(APIError(of: NotInSwarm()) == .notInSwarm)
        #expect(APIError(of: NotInSwarm(reason: "a file is lost")) == APIError(503, "a file is lost"))
    }

    @Test(arguments: [
        ("GET", "/networks"), ("GET", "/networks/n1?scope=swarm"), ("GET", "/weft/v1/sandboxes"), ("GET", "/info"), ("GET", "/nodes"),
        ("POST", "/networks/prune"), ("DELETE", "/networks/n1"), ("GET", "/swarm"), ("POST", "/swarm/leave"),
    ])
    func `a node that does not keep up says so, and answers with no empty list`(method: String, path: String) async throws {
        let backend = MemoryBackend()
        _ = try backend.swarmInit(SwarmInitRequest())
        backend.read { $0.isBusy = true }
        try await withServer(backend) { client, _ async throws in
            let answer = try await client.send(method, path)
            #expect(answer.status == 503 && answer.message == "busy; try again", "\(answer.text)")
            #expect(try await client.send("GET", "/_ping").status == 200)
        }
    }
}
