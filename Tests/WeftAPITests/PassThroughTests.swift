import Foundation
import Glibc
import NIOCore
import Testing

@testable import WeftAPI

/// Requests that are the engine's, against an engine that the test plays, byte by byte.
@Suite(.timeLimit(.minutes(5))) struct PassThroughTests {
    @Test func `a head is forwarded at once, a chunked body as it was cut, and the connection goes on`() async throws {
        let mayEnd = Noted(false)
        try await withEngine { wire in
            let request = wire.readText(until: "\r\n\r\n")
            #expect(request.contains("GET /v1.41/containers/c/logs?follow=1 HTTP/1.1\r\n") && request.contains("X-Odd: Kept"))
            wire.send("HTTP/1.1 200 OK\r\nX-Engine: yes\r\nTransfer-Encoding: chunked\r\n\r\n")
            #expect(mayEnd.wait { $0 })
            wire.send("3;ext=1\r\na")
            wire.send("bc\r\n0\r\nTrailer: t\r\n\r\n")
            #expect(wire.read().isEmpty, "the connection to the engine is closed after the answer")
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send("GET /v1.41/containers/c/logs?follow=1 HTTP/1.1\r\nHost: docker\r\nX-Odd: Kept\r\n\r\n")
            let head = client.readText(until: "\r\n\r\n")
            #expect(head == "HTTP/1.1 200 OK\r\nX-Engine: yes\r\nTransfer-Encoding: chunked\r\n\r\n")
            mayEnd.change { $0 = true }
            #expect(client.readText(until: "t\r\n\r\n") == "3;ext=1\r\nabc\r\n0\r\nTrailer: t\r\n\r\n")
            // The next request is weftd's own.
            client.send("GET /swarm HTTP/1.1\r\nHost: d\r\n\r\n")
            #expect(client.readText(until: "}").contains("503 Service Unavailable"))
        }
    }

    @Test func `bodies reach the engine, with a length and in chunks`() async throws {
        try await withEngine { wire in
            let request = wire.readText(until: "END")
            if request.contains("chunked") {
                #expect(request.hasSuffix("\r\n\r\n4\r\n-END") || request.contains("-END"))
            } else {
                #expect(request.hasSuffix("\r\n\r\nbody-END"))
            }
            wire.send("HTTP/1.1 204 No Content\r\n\r\n")
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send("POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 8\r\n\r\nbody-END")
            #expect(client.readText(until: "\r\n\r\n") == "HTTP/1.1 204 No Content\r\n\r\n")
            client.send("POST /images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n4\r\n-END\r\n0\r\n\r\n")
            #expect(client.readText(until: "\r\n\r\n") == "HTTP/1.1 204 No Content\r\n\r\n")
        }
    }

    @Test func `answers without a body are whole with their head`() async throws {
        try await withEngine { wire in
            let request = wire.readText(until: "\r\n\r\n")
            if request.hasPrefix("HEAD") {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            } else if request.contains("/one") {
                wire.send("HTTP/1.1 304 Not Modified\r\n\r\n")
            } else {
                wire.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send("HEAD /containers/c/archive?path=/x HTTP/1.1\r\nHost: d\r\n\r\n")
            #expect(client.readText(until: "\r\n\r\n") == "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            client.send("POST /containers/one/resize HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n")
            #expect(client.readText(until: "\r\n\r\n") == "HTTP/1.1 304 Not Modified\r\n\r\n")
            client.send("GET /images/json HTTP/1.1\r\nHost: d\r\n\r\n")
            #expect(
                client.readText(until: "ok")
                    == "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
    }

    @Test(arguments: [
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
    ])
    func `a connection that leaves HTTP is spliced, with half-closes`(answer: String) async throws {
        try await withEngine { wire in
            #expect(wire.readText(until: "{\"Tty\":false}").contains("Upgrade: tcp"))
            // What comes with the head belongs to the stream.
            wire.send(answer + "first")
            let input = wire.readToEnd()
            #expect(input == Array(repeating: 7, count: 3_000_000), "all input, then its end")
            wire.send(Array(repeating: 9, count: 3_000_000))
            wire.send("last")
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send(
                "POST /exec/e/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 13\r\n\r\n{\"Tty\":false}"
            )
            #expect(client.readText(until: "first") == answer + "first")
            client.send(Array(repeating: 7, count: 3_000_000))
            client.endOutput()
            #expect(client.readToEnd() == Array(repeating: 9, count: 3_000_000) + Array("last".utf8))
        }
    }

    @Test func `a stream that the engine refuses leaves the connection to the next request`() async throws {
        try await withEngine { wire in
            let request = wire.readText(until: "\r\n\r\n")
            wire.send(
                request.contains("/attach")
                    ? "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        } _: { path in
            let client = try Wire.connected(to: path)
            let attach = "POST /containers/c/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            // What is sent ahead is the next request then, wherever it was cut.
            client.send(attach + "GET /images/json HT")
            #expect(client.readText(until: "none").hasPrefix("HTTP/1.1 404"))
            client.send("TP/1.1\r\nHost: d\r\n\r\n" + attach)
            // Two answers, in as many reads as it takes.
            let both = client.readText(until: "none").components(separatedBy: "ok")
            #expect(both.count == 2 && both[0].hasPrefix("HTTP/1.1 200") && both[1].hasPrefix("HTTP/1.1 404"))
            client.send("GET /images/json HTTP/1.1\r\nHost: d\r\n\r\n")
            #expect(client.readText(until: "ok").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func `a client that sends far ahead of a stream's beginning is held back`() async throws {
        let mayBegin = Noted(false)
        let received = Noted(0)
        try await withEngine { wire in
            _ = wire.readText(until: "\r\n\r\n")
            #expect(mayBegin.wait { $0 })
            wire.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            let count = wire.readToEnd().count
            received.change { $0 = count }
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send("POST /containers/c/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            let chunk = [UInt8](repeating: 1, count: 1 << 16)
            var sent = 0
            var stalls = 0
            while sent < 64 << 20, stalls < 30 {
                let count = client.sendSome(chunk)
                sent += count
                stalls = count == 0 ? stalls + 1 : 0
                if count == 0 { usleep(10_000) }
            }
            #expect(sent < 8 << 20, "\(sent) bytes were taken before there was a stream")
            mayBegin.change { $0 = true }
            #expect(client.readText(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101"))
            client.endOutput()
            #expect(received.wait { $0 > 0 })
            #expect(received.value == sent)
        }
    }

    @Test func `input sent right behind the request is the stream's`() async throws {
        try await withEngine { wire in
            _ = wire.readText(until: "\r\n\r\n")
            usleep(50_000)
            wire.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            #expect(String(decoding: wire.readToEnd(), as: UTF8.self) == "early GET / HTTP/1.1\r\n\r\n")
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send(
                "POST /containers/c/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly GET / HTTP/1.1\r\n\r\n")
            #expect(client.readText(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101 UPGRADED"))
            client.endOutput()
            #expect(client.readToEnd().isEmpty)
        }
    }

    @Test func `a client that does not read holds the engine back, and the other way round`() async throws {
        let most = 16 << 20
        let sent = Noted(0)
        let mayRead = Noted(false)
        let chunk = [UInt8](repeating: 1, count: 1 << 16)
        /// Sends as long as the other side takes it.
        @Sendable func push(_ wire: Wire) -> Int {
            var total = 0
            var stalls = 0
            while total < 4 * most, stalls < 30 {
                let count = wire.sendSome(chunk)
                total += count
                stalls = count == 0 ? stalls + 1 : 0
                if count == 0 { usleep(10_000) }
            }
            return total
        }
        try await withEngine { wire in
            let request = wire.readText(until: "\r\n\r\n")
            if request.hasPrefix("GET") {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                let count = push(wire)
                sent.change { $0 = count }
            } else {
                #expect(mayRead.wait { $0 })
            }
        } _: { path in
            let reader = try Wire.connected(to: path)
            reader.send("GET /images/get HTTP/1.1\r\nHost: d\r\n\r\n")
            #expect(sent.wait { $0 > 0 })
            #expect(sent.value < most, "\(sent.value) bytes were taken from the engine for a client that does not read")
            let writer = try Wire.connected(to: path)
            writer.send("POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000000\r\n\r\n")
            let taken = push(writer)
            mayRead.change { $0 = true }
            #expect(taken < most, "\(taken) bytes were taken from the client for an engine that does not read")
        }
    }

    @Test func `a stream's client that does not read holds the engine back, and loses nothing`() async throws {
        let most = 16 << 20
        let sent = Noted(0)
        let ended = Noted(false)
        let heard = Noted("")
        try await withEngine { wire in
            _ = wire.readText(until: "\r\n\r\n")
            wire.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            var stalls = 0
            while sent.value < 4 * most, stalls < 30 {
                let start = sent.value
                let count = wire.sendSome((start..<start + 1 << 16).map { UInt8(truncatingIfNeeded: $0 / 251) })
                sent.change { $0 += count }
                stalls = count == 0 ? stalls + 1 : 0
                if count == 0 { usleep(10_000) }
            }
            ended.change { $0 = true }
            wire.endOutput()
            let rest = String(decoding: wire.readToEnd(), as: UTF8.self)
            heard.change { $0 = rest }
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send("POST /exec/e/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            #expect(ended.wait { $0 })
            #expect(sent.value < most, "\(sent.value) bytes were taken from the engine for a client that does not read")
            let received = client.readToEnd()
            let content = received.suffix(sent.value)
            #expect(content.count == sent.value)
            #expect(content.enumerated().allSatisfy { $1 == UInt8(truncatingIfNeeded: $0 / 251) })
            client.send("bye")
            client.endOutput()
            #expect(heard.wait { $0 == "bye" }, "the other way stays open")
        }
    }

    @Test func `an engine that dies under a stream ends it for the client, after all that it said`() async throws {
        try await withEngine { wire in
            _ = wire.readText(until: "early")
            wire.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            wire.send(Array(repeating: 3, count: 500_000))
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send(
                "POST /exec/e/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 5\r\n\r\nearly")
            #expect(client.readToEnd().suffix(500_000) == Array(repeating: 3, count: 500_000)[...])
            #expect(!client.send(Array(repeating: 4, count: 4 << 20)), "nobody is there to take it")
        }
    }

    @Test func `a client that goes away takes its request with it`() async throws {
        let ended = Noted(0)
        try await withEngine { wire in
            let request = wire.readText(until: "\r\n\r\n")
            wire.send(
                request.contains("attach")
                    ? "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                    : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            #expect(wire.read().isEmpty)
            ended.change { $0 += 1 }
        } _: { path in
            for request in ["GET /containers/c/logs", "GET /containers/c/stats", "POST /containers/c/attach"] {
                let client = try Wire.connected(to: path)
                client.send("\(request) HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
                #expect(client.readText(until: "\r\n\r\n").contains("HTTP/1.1"))
            }
            #expect(ended.wait { $0 == 3 })
        }
    }

    @Test func `an early answer to a long body comes through`() async throws {
        try await withEngine { wire in
            _ = wire.readText(until: "\r\n\r\n")
            wire.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad")
        } _: { path in
            let client = try Wire.connected(to: path)
            client.send("POST /build HTTP/1.1\r\nHost: d\r\nContent-Length: 8000000\r\n\r\n")
            client.send([UInt8](repeating: 0, count: 1_000_000))
            #expect(client.readText(until: "bad").hasSuffix("\r\n\r\nbad"))
        }
    }

    @Test func `an engine that breaks off is told of, or the answer cut off`() async throws {
        try await withEngine { wire in
            let request = wire.readText(until: "\r\n\r\n")
            if request.contains("half") { wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") }
            if request.contains("nonsense") { wire.send("SSH-2.0\r\n\r\n") }
        } _: { path in
            for target in ["none", "nonsense"] {
                let client = try Wire.connected(to: path)
                client.send("GET /images/\(target) HTTP/1.1\r\nHost: d\r\n\r\n")
                let answer = client.readText(until: "}")
                #expect(answer.contains("502 Bad Gateway") && answer.contains("the container engine gave no whole answer"))
            }
            let client = try Wire.connected(to: path)
            client.send("GET /images/half HTTP/1.1\r\nHost: d\r\n\r\n")
            #expect(String(decoding: client.readToEnd(), as: UTF8.self).hasSuffix("\r\n\r\nhalf"))
        }
    }

    @Test(arguments: [1, 2, 7, 1000]) func `framing is followed however the bytes come`(step: Int) throws {
        let wire =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "a\r\n0123456789\r\nFF\r\n\(String(repeating: "x", count: 255))\r\n0\r\nA: b\r\n\r\nREST"
        var framer = ResponseFramer(answersHead: false)
        var output = ""
        var ended = false
        for start in stride(from: 0, to: wire.utf8.count, by: step) {
            framer.append(ByteBuffer(bytes: Array(wire.utf8)[start..<min(start + step, wire.utf8.count)]))
            while let piece = try framer.next() {
                switch piece {
                case .interim(let bytes), .head(_, let bytes), .body(let bytes): output += String(buffer: bytes)
                case .end: ended = true
                }
            }
        }
        #expect(ended && output + "REST" == wire)
    }

    @Test(arguments: [
        "HTTP/1.1 2000 X\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ])
    func `an answer that is no HTTP is refused`(wire: String) {
        var framer = ResponseFramer(answersHead: false)
        framer.append(ByteBuffer(string: wire))
        #expect(throws: ResponseFramer.Failure.self) { while try framer.next() != nil {} }
    }
}
