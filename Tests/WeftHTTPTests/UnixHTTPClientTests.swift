import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import WeftHTTP

@Suite("HTTP over unix sockets", .timeLimit(.minutes(5)))
struct UnixHTTPClientTests {
    private func client(_ server: CannedServer) -> UnixHTTPClient { UnixHTTPClient(socketPath: server.path, host: "weftd") }

    private func ask(_ answers: CannedServer.Answer...) async throws -> HTTPAnswer {
        let server = try CannedServer(answers)
        return try await client(server).whole(HTTPRequest(.GET, "/x"))
    }

    private func reason(_ answers: CannedServer.Answer...) async throws -> String {
        let server = try CannedServer(answers)
        let failure = await #expect(throws: HTTPFailure.self) { try await client(server).whole(HTTPRequest(.GET, "/x")) }
        guard case .broken(let reason)? = failure else { return "\(String(describing: failure))" }
        return reason
    }

    @Test("the connection's headers are the client's own, the request's are passed on")
    func requestHead() async throws {
        let server = try CannedServer(["HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX: y\r\n\r\nab"])
        let headers: HTTPHeaders = [
            "Connection": "upgrade", "Upgrade": "tcp", "Host": "evil", "X-Registry-Auth": "k", "Content-Length": "9",
        ]
        let answer = try await client(server).whole(HTTPRequest(.POST, "/v1/x?a=%20", headers: headers, body: Array("{}".utf8)))
        #expect(answer.status == 201 && answer.body == Array("ab".utf8) && answer.headers.first(name: "x") == "y")
        let sent = try #require(server.received.first)
        #expect(sent.hasPrefix("POST /v1/x?a=%20 HTTP/1.1\r\n") && sent.hasSuffix("\r\n\r\n{}"))
        let lines = Set(sent.lowercased().split(separator: "\r\n").dropFirst().map(String.init))
        let wanted: Set = [
            "host: weftd", "connection: close", "content-type: application/json", "content-length: 2", "x-registry-auth: k", "{}",
        ]
        #expect(lines == wanted)
    }

    @Test("a request that changes something says that it has no body")
    func emptyBody() async throws {
        let server = try CannedServer(["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"])
        #expect(try await client(server).whole(HTTPRequest(.POST, "/x")).body.isEmpty)
        #expect(try await client(server).whole(HTTPRequest(.GET, "/x")).status == 204)
        #expect(server.received.map { $0.lowercased().contains("content-length: 0") } == [true, false])
    }

    @Test("an answer in chunks, with trailers")
    func chunks() async throws {
        let answer = try await ask(.init("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: u\r\n\r\n"))
        #expect(answer.body == Array("abc".utf8))
    }

    @Test("an answer without a length is read until the server is done with it, though it keeps listening")
    func halfClose() async throws {
        #expect(try await ask(.init("HTTP/1.1 200 OK\r\n\r\nall of it", then: .halfClose)).body == Array("all of it".utf8))
    }

    @Test("an answer of a known length ends there, whether the connection does or not")
    func held() async throws {
        #expect(try await ask(.init("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", then: .hold)).body == Array("ab".utf8))
    }

    @Test("who refuses before all has arrived is heard")
    func earlyRefusal() async throws {
        let server = try CannedServer([.init("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", then: .halfClose, isEarly: true)])
        let body = [UInt8](repeating: 0x20, count: 8 << 20)
        let answer = try await client(server).whole(HTTPRequest(.POST, "/x", body: body))
        #expect(answer.status == 413 && answer.body == Array("no".utf8))
    }

    @Test("100-continue announces nothing")
    func continues() async throws {
        let answer = try await ask(.init("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"))
        #expect(answer.status == 200 && answer.body == Array("a".utf8))
    }

    @Test("another protocol was not asked for", arguments: [CannedServer.Ending.close, .hold])
    func upgrade(ending: CannedServer.Ending) async throws {
        let reason = try await reason(.init("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw", then: ending))
        #expect(reason == "it changes to another protocol, which was not asked for")
    }

    @Test("what is no whole answer is told apart")
    func broken() async throws {
        #expect(try await reason(.init("")) == "no answer came")
        #expect(try await reason(.init("HTTP/1.1 100 Continue\r\n\r\n")) == "no answer came")
        for early in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"] {
            let reason = try await reason(.init("HTTP/1.1 200 OK\r\n\(early)"))
            #expect(reason.contains("it ended early") || reason.contains("it is not HTTP"), "\(reason)")
        }
        #expect(try await reason(.init("nonsense\r\n\r\n")).hasPrefix("it is not HTTP"))
    }

    @Test(
        "heads without end are refused",
        arguments: ["X: \(String(repeating: "y", count: 100_000))", String(repeating: "X: y\r\n", count: 50_000)])
    func hugeHead(header: String) async throws {
        let reason = try await reason(.init("HTTP/1.1 200 OK\r\n\(header)\r\n\r\n", then: .halfClose))
        #expect(reason.hasPrefix("it is not HTTP"), "\(reason)")
    }

    @Test("nobody listens: there is no file, no server, no directory")
    func absent() async throws {
        let server = try CannedServer([CannedServer.Answer("HTTP/1.1 204 No Content\r\n\r\n")])
        #expect(try await client(server).whole(HTTPRequest(.GET, "/x")).status == 204)
        // Its one answer is given: the file is there still.
        try await eventually("it is still there") {
            do {
                _ = try await client(server).whole(HTTPRequest(.GET, "/x"))
                return false
            } catch let failure as HTTPFailure { return failure == .absent }
        }
        await #expect(throws: HTTPFailure.absent) {
            try await UnixHTTPClient(socketPath: "/nonexistent/docker.sock", host: "weftd").whole(HTTPRequest(.GET, "/x"))
        }
    }

    @Test("a silent server is given up after the limit, and its connection closed")
    func silent() async throws {
        let server = try CannedServer([.init("", then: .hold)])
        await #expect(throws: HTTPFailure.silent) {
            try await client(server).whole(HTTPRequest(.GET, "/x"), within: .milliseconds(50))
        }
        try await eventually("it is not closed") { server.closedByOther == 1 }
    }

    @Test("the head is handed over at once, chunks as they come, and a cancelled reader closes")
    func stream() async throws {
        let server = try CannedServer([.init("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", then: .hold)])
        let client = client(server)
        let (chunks, continuation) = AsyncStream<String>.makeStream()
        let reader = Task {
            try await client.stream(HTTPRequest(.GET, "/events")) { head, chunk in
                continuation.yield("\(head.status.code) \(String(buffer: chunk))")
            }
        }
        var received: [String] = []
        for await chunk in chunks {
            received.append(chunk)
            if received.count == 2 { break }
        }
        #expect(received == ["200 ", "200 ab"])
        reader.cancel()
        await #expect(throws: CancellationError.self) { try await reader.value }
        try await eventually("it is not closed") { server.closedByOther == 1 }
    }

    @Test("what the reader of chunks throws ends the request")
    func readersError() async throws {
        struct Enough: Error {}
        let server = try CannedServer([.init("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", then: .hold)])
        await #expect(throws: Enough.self) { try await client(server).stream(HTTPRequest(.GET, "/x")) { _, _ in throw Enough() } }
    }

    @Test(
        "addresses of sockets",
        arguments: [
            ("unix:///run/weft/docker.sock", "/run/weft/docker.sock"), ("/run/x", "/run/x"), ("tcp://1.2.3.4:2375", nil), ("", nil),
            ("run/weft.sock", nil), ("unix://", nil), ("/" + String(repeating: "x", count: 106), "/" + String(repeating: "x", count: 106)),
            ("/" + String(repeating: "x", count: 107), nil),
        ] as [(String, String?)])
    func paths(address: String, path: String?) {
        #expect(UnixHTTPClient.path(of: address) == path)
    }
}
