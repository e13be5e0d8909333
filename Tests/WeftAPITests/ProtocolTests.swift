import NIOHTTP1
import Testing
import WeftAPI
import WeftText

@Suite struct ProtocolTests {
    @Test func `ping tells version and membership, with and without a body`() async throws {
        try await withServer { client, backend async throws in
            let get = try await client.send("GET", "/_ping")
            #expect(get.status == 200 && get.text == "OK")
            #expect(get.headers["api-version"] == "1.41" && get.headers["ostype"] == "linux")
            #expect(get.headers["docker-experimental"] == "false" && get.headers["swarm"] == "inactive")
            let head = try await client.send("HEAD", "/v1.41/_ping")
            #expect(head.status == 200 && head.body.isEmpty && head.headers["content-length"] == "2")
            #expect(head.headers["api-version"] == "1.41")
            _ = try await client.send("POST", "/swarm/init", "{}")
            #expect(try await client.send("HEAD", "/_ping").headers["swarm"] == "active/manager")
            backend.becomeWorker()
            #expect(try await client.send("HEAD", "/_ping").headers["swarm"] == "active/worker")
        }
    }

    @Test func `versions outside 1_24 to 1_41 are refused in Docker's words`() async throws {
        try await withServer { client, _ async throws in
            #expect(try await client.send("GET", "/v1.24/networks").status == 200)
            let new = try await client.send("GET", "/v1.48/networks")
            #expect(new.status == 400)
            #expect(new.message == "client version 1.48 is too new. Maximum supported API version is 1.41")
            let old = try await client.send("GET", "/v1.12/networks")
            #expect(
                old.status == 400 && old.message?.contains("too old. Minimum supported API version is 1.24") == true)
        }
    }

    @Test func `pipelined requests are answered in order on one connection`() async throws {
        try await withServer { client, _ async throws in
            let one = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
            let two = "POST /swarm/init HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}"
            let three = "GET /swarm HTTP/1.1\r\nHost: d\r\n\r\n"
            let four = "GET /nosuch HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
            let answers = try await client.talk([one + two + three + four], count: 5)
            #expect(answers.map(\.status) == [200, 200, 200, 404])
            #expect(answers[1].text == "\"ilvid9zat14ivlex8yuy7qccv\"\n")
            #expect(answers[3].headers["connection"] == "close")
        }
    }

    @Test func `an answer still comes after the client has ended its side`() async throws {
        try await withServer { client, _ async throws in
            let answers = try await client.talk(
                ["GET /version HTTP/1.1\r\nHost: d\r\n\r\n"], halfClose: true, count: 2)
            #expect(answers.map(\.status) == [200])
        }
    }

    @Test func `a chunked body is read, and 100-continue is answered`() async throws {
        try await withServer { client, _ async throws in
            let head =
                "POST /swarm/init HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
            let answers = try await client.talk([head, "1\r\n{\r\n1\r\n}\r\n", "0\r\n\r\n"], count: 2)
            #expect(answers.map(\.status) == [100, 200])
        }
    }

    @Test func `a body beyond 16 MB is refused with 413, announced or not`() async throws {
        try await withServer { client, _ async throws in
            let announced = "POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: 16777217\r\n\r\n"
            #expect(try await client.talk([announced], count: 1).map(\.status) == [413])
            let chunk = "100000\r\n" + String(repeating: " ", count: 1 << 20) + "\r\n"
            let head = "POST /networks/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
            let answers = try await client.talk([head] + Array(repeating: chunk, count: 18), count: 1)
            #expect(answers.map(\.status) == [413])
            let fits = "{\"Driver\":\"overlay\",\"Name\":\"x\"" + String(repeating: " ", count: 15 << 20) + "}"
            #expect(try await client.send("POST", "/networks/create", fits).status == 503)
        }
    }

    @Test func `what is not JSON or not HTTP is a 400 with a sentence`() async throws {
        try await withServer { client, _ async throws in
            for body in ["{", "[1]", "{\"Name\": tru}", "{\"Name\":1,}", "{} {}", String(repeating: "[", count: 5000)] {
                let answer = try await client.send("POST", "/networks/create", body)
                #expect(answer.status == 400, "\(body.prefix(20))")
                #expect(answer.message?.contains("JSON") == true, "\(body.prefix(20))")
            }
            let answer = try await client.send("POST", "/networks/create", "{\"Name\":7,\"Driver\":\"overlay\"}")
            #expect(answer.status == 400 && answer.message == "Name must be a text")
            #expect(try await client.talk(["BLAH\r\n\r\n"], count: 1).map(\.status) == [400])
            #expect(try await client.send("GET", "/networks?filters=%7B").status == 400)
            #expect(try await client.send("GET", "/networks/%zz").status == 400)
        }
    }

    @Test func `a target with scheme and host is taken as one without`() async throws {
        try await withServer { client, _ async throws in
            for target in ["http://docker/v1.41/networks", "HTTP://d:80/networks?x=http://y/z"] {
                #expect(try await client.send("GET", target).status == 200, "\(target)")
            }
            #expect(try await client.send("GET", "http://docker").status == 400)
        }
    }

    @Test func `a head may be as long as a megabyte, and is refused with 431 beyond`() async throws {
        try await withServer { client, _ async throws in
            let long = "X-Registry-Config: \(String(repeating: "a", count: 1_000_000))\r\n"
            #expect(try await client.send("GET", "/_ping", headers: long).status == 200)
            let many = (0..<5000).map { "X-\($0): 1\r\n" }.joined()
            #expect(try await client.send("GET", "/_ping", headers: many).status == 200)
            let answer = try await client.send("GET", "/_ping", headers: String(repeating: long, count: 4))
            #expect(answer.status == 431 && answer.message?.contains("head") == true)
            let endless = try await client.talk(["GET /_ping HTTP/1.1\r\nX: " + String(repeating: "a", count: 3_000_000)], count: 1)
            #expect(endless.map(\.status) == [431])
        }
    }

    @Test(arguments: [
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "Content-Length: -2\r\n\r\n{}",
    ])
    func `a body whose end is not clear is a 400, and nothing behind it is read`(rest: String) async throws {
        try await withServer { client, _ async throws in
            let request = "POST /networks/create HTTP/1.1\r\nHost: d\r\n\(rest)GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
            let answers = try await client.talk([request], halfClose: true, count: 2)
            #expect(answers.map(\.status) == [400])
            #expect(answers.first?.headers["connection"] == "close")
        }
    }

    @Test func `a connection that was to leave HTTP and did not takes the next request`() async throws {
        try await withServer { client, _ async throws in
            let upgrade = "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
            let unknown = "GET /nosuch HTTP/1.1\r\nHost: d\r\nConnection: keep-alive, Upgrade\r\nUpgrade: tcp\r\n\r\n"
            let named = "GET /_ping HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n\r\n"
            let plain = "GET /version HTTP/1.1\r\nHost: d\r\n\r\n"
            let answers = try await client.talk([upgrade + unknown + named + upgrade, plain], count: 5)
            #expect(answers.map(\.status) == [200, 404, 200, 200, 200])
        }
    }

    @Test func `unknown paths are 404, and what is an engine's is 503`() async throws {
        try await withServer { client, _ async throws in
            let unknown = try await client.send("GET", "/v1.41/nosuch")
            #expect(unknown.status == 404 && unknown.text == "{\"message\":\"page not found\"}\n")
            #expect(try await client.send("PUT", "/networks").status == 503)
            for (method, path) in [
                ("GET", "/containers/json"), ("POST", "/v1.41/containers/create?name=x"), ("GET", "/images/json"),
                ("GET", "/events"), ("POST", "/build"), ("GET", "/system/df"), ("GET", "/volumes"),
            ] {
                let answer = try await client.send(method, path, "{}")
                #expect(answer.status == 503, "\(path)")
                #expect(
                    answer.message
                        == "no container engine is connected to weftd; `weft run` starts a sandbox without one",
                    "\(path)")
            }
            // The connection goes on after a refused request with a body.
            let pair =
                "POST /build HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nabcdeGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
            #expect(try await client.talk([pair], count: 2).map(\.status) == [503, 200])
        }
    }

    @Test func `a streamed response comes in chunks, and is cut off when it fails`() async throws {
        let routes = [
            Route(.GET, "stream") { _, request in
                APIResponse(
                    status: .ok,
                    body: .stream { writer in
                        for _ in 0..<200 { try await writer.write(Array(repeating: 0x61, count: 10_000)) }
                        if request.query.flag("fail") { throw APIError.badRequest("enough") }
                    })
            }
        ]
        try await withServer(extra: routes) { client, _ async throws in
            let whole = try await client.send("GET", "/stream")
            #expect(whole.status == 200 && whole.body.count == 2_000_000 && whole.headers["content-length"] == nil)
            let next = "GET /stream HTTP/1.1\r\nHost: d\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
            #expect(try await client.talk([next], count: 2).map(\.status) == [200, 200])
            let head = try await client.send("HEAD", "/stream")
            #expect(head.status == 200 && head.body.isEmpty)
            let cut = try await client.raw(["GET /stream?fail=1 HTTP/1.1\r\nHost: d\r\n\r\n"]) { _ in false }
            #expect(cut.count > 2_000_000 && !cut.suffix(5).elementsEqual("0\r\n\r\n".utf8))
        }
    }

    @Test func `a client that goes away cancels a streamed response`() async throws {
        let (ended, signal) = AsyncStream<Void>.makeStream()
        let routes = [
            Route(.GET, "endless") { _, _ in
                APIResponse(
                    status: .ok,
                    body: .stream { writer in
                        defer { signal.finish() }
                        while true { try await writer.write(Array(repeating: 0x61, count: 10_000)) }
                    })
            }
        ]
        try await withServer(extra: routes) { client, _ async throws in
            _ = try await client.raw(["GET /endless HTTP/1.1\r\nHost: d\r\n\r\n"]) { $0.count > 100_000 }
            for await _ in ended {}
        }
    }

    @Test func `a second server on the same socket is refused`() async throws {
        try await withServer { client, backend async throws in
            await #expect(throws: APIError.self) { try await serve(backend, client.path) {} }
            #expect(try await client.send("GET", "/_ping").status == 200)
        }
    }
}
