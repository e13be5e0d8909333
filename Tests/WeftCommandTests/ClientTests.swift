import Glibc
import NIOHTTP1
import Synchronization
import Testing
import WeftClient
import WeftTemplate

@testable import weft

/// Answers each connection with the next canned text, and keeps what was asked.
private final class CannedServer: Sendable {
    let path: String
    private let requests = Mutex<[String]>([])
    var received: [String] { requests.withLock { $0 } }

    init(_ answers: [String]) throws {
        path = "\(try #require(CannedServer.directory()))/docker.sock"
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(descriptor, 8) == 0)
        let server = self
        Thread.detach {
            for answer in answers { server.serve(descriptor, answer) }
            close(descriptor)
        }
    }

    private func serve(_ listener: Int32, _ answer: String) {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while !Self.isWhole(String(decoding: bytes, as: UTF8.self)) {
            let count = read(connection, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        requests.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
        var rest = Array(answer.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(connection, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        close(connection)
    }

    private static func isWhole(_ request: String) -> Bool {
        guard let head = request.range("\r\n\r\n") else { return false }
        let length =
            request.lowercased().split(separator: "content-length: ").dropFirst().first
            .flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
        return request.utf8.count - head >= length
    }

    private static func directory() -> String? {
        var template = Array("/tmp/weft-client-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { return nil }
        return String(cString: made)
    }

    deinit {
        unlink(path)
        rmdir(String(path.dropLast("/docker.sock".count)))
    }
}

extension String {
    /// The offset behind the first occurrence.
    fileprivate func range(_ wanted: String) -> Int? {
        let (bytes, wanted) = (Array(utf8), Array(wanted.utf8))
        guard bytes.count >= wanted.count else { return nil }
        return (0...bytes.count - wanted.count).first { Array(bytes[$0..<$0 + wanted.count]) == wanted }.map {
            $0 + wanted.count
        }
    }
}

private enum Thread {
    static func detach(_ body: @escaping @Sendable () -> Void) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Box(body)).toOpaque()
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, argument)
        pthread_detach(thread)
    }
}

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

@Test("a stream hands chunks over as they come")
func stream() async throws {
    let server = try CannedServer([
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    ])
    var text: [UInt8] = []
    let head = try await WeftClient(host: server.path).stream(.GET, "/x") { status, chunk in
        #expect(status == 200)
        text += chunk
    }
    #expect(head.status.code == 200 && text == Array("abc".utf8))
}
