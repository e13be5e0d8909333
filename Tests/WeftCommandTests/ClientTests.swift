import NIOHTTP1
import TestSupport
import Testing
import WeftClient
import WeftTemplate

@testable import weft

private func connection(_ server: CannedServer) throws -> Connection {
    Connection(client: try WeftClient(host: "unix://\(server.path)"))
}

@Test("a request with a body, and the answer's JSON")
func request() async throws {
    let server = try CannedServer(["HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{\"Id\":\"abc\"}"])
    let answer = try await connection(server).post(
        "networks", "a b/c", query: [("filters", #"{"a":1}"#)], body: ["Name": "é"])
    #expect(answer["Id"] == "abc")
    let sent = try #require(server.received.first)
    #expect(sent.hasPrefix("POST /networks/a%20b%2Fc?filters=%7B%22a%22%3A1%7D HTTP/1.1\r\n"))
    #expect(sent.lowercased().contains("host: weftd\r\n") && sent.hasSuffix("\r\n\r\n{\"Name\":\"é\"}"))
}

@Test("an answer in chunks, and one without a body")
func chunks() async throws {
    let server = try CannedServer([
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2,\r\n2\r\n3]\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ])
    #expect(try await connection(server).get("x") == [1, 2, 3])
    #expect(try await connection(server).post("x").isNull)
}

@Test("weftd's sentence is the error")
func refusal() async throws {
    let server = try CannedServer([
        "HTTP/1.1 404 Not Found\r\nContent-Length: 32\r\n\r\n{\"message\":\"network x not found\"",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 34\r\n\r\n{\"message\":\"network x not found\"}\n",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    ])
    // Not JSON: the body as it is.
    await #expect(throws: ClientError.refused(status: 404, message: "{\"message\":\"network x not found\"")) {
        try await connection(server).get("networks", "x")
    }
    await #expect(throws: ClientError.refused(status: 404, message: "network x not found")) {
        try await connection(server).get("networks", "x")
    }
    await #expect(throws: ClientError.refused(status: 502, message: "weftd answered with status 502")) {
        try await connection(server).get("networks", "x")
    }
}

@Test(
    "broken answers are errors",
    arguments: [
        "", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{a}",
    ])
func broken(answer: String) async throws {
    let server = try CannedServer([answer])
    let failure = await #expect(throws: ClientError.self) { try await connection(server).get("x") }
    guard case .broken? = failure else {
        Issue.record("\(String(describing: failure))")
        return
    }
}

@Test("an answer deeper than any is an error, and no crash", arguments: [("200 OK", 513), ("500 Oh", 513), ("500 Oh", 60_000)])
func deepAnswers(status: String, depth: Int) async throws {
    let body = String(repeating: "[", count: depth)
    let server = try CannedServer(["HTTP/1.1 \(status)\r\nContent-Length: \(depth)\r\n\r\n\(body)"])
    await #expect(throws: (any Error).self) { try await connection(server).get("x") }
}

@Test("nobody listens")
func unreachable() async throws {
    let host = "unix:///nonexistent/docker.sock"
    let failure = await #expect(throws: ClientError.self) { try await WeftClient(host: host).call(.GET, "/info") }
    #expect(failure == .unreachable(host: host))
    #expect(failure?.description.contains("is weftd running? Start it with") == true)
}

@Test(
    "addresses that are no socket's path",
    arguments: ["tcp://1.2.3.4:2375", "", "run/weft.sock", "unix://", "/" + String(repeating: "x", count: 200)])
func invalid(host: String) {
    #expect(throws: ClientError.invalidHost(host)) { try WeftClient(host: host) }
}

@Test(
    "what the Engine API has of gRPC is for its clients, not for people",
    arguments: [
        ("rpc error: code = FailedPrecondition desc = network my_net is in use by a1", "network my_net is in use by a1"),
        (
            "Could not attach to network n: rpc error: code = PermissionDenied desc = not attachable",
            "Could not attach to network n: not attachable"
        ),
        ("no rpc error: code = here", "no rpc error: code = here"),
    ])
func plainSentences(sent: String, shown: String) async throws {
    let body = #"{"message":"\#(sent)"}"#
    let server = try CannedServer(["HTTP/1.1 400 Bad Request\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"])
    await #expect(throws: ClientError.refused(status: 400, message: shown)) { try await connection(server).get("x") }
}

@Test("the ingress network is removed only if that is confirmed", arguments: [true, false])
func ingress(isConfirmed: Bool) async throws {
    func answer(_ body: String) -> String { "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)" }
    let gone = "HTTP/1.1 204 No Content\r\n\r\n"
    let server = try CannedServer([answer(#"{"Ingress":true}"#), answer(#"{"Ingress":false}"#), gone] + (isConfirmed ? [gone] : []))
    var asked = 0
    try await NetworkRm.remove(["ingress", "my_net"], connection(server)) {
        asked += 1
        return isConfirmed
    }
    #expect(asked == 1)
    let removed = server.received.filter { $0.hasPrefix("DELETE ") }.map { $0.split(separator: " ")[1] }
    #expect(removed == (isConfirmed ? ["/networks/ingress", "/networks/my_net"] : ["/networks/my_net"]))
}

@Test("a driver that nobody has is told beside those there are")
func unknownDriver() async throws {
    let body = #"{"message":"plugin \"overlya\" not found"}"#
    let server = try CannedServer(["HTTP/1.1 404 Not Found\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"])
    let command = try #require(
        try Weft.command(["network", "create", "-d", "overlya", "-H", "unix://\(server.path)", "n"]) as? NetworkCreate)
    let failure = await #expect(throws: CommandFailure.self) { try await command.run() }
    #expect(failure?.message == "plugin \"overlya\" not found: \(NetworkCreate.drivers)")
}
