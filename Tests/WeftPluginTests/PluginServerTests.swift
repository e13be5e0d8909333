import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing
import WeftPlugin

@Suite("The driver's socket", .timeLimit(.minutes(5)))
struct PluginServerTests {
    /// Sends what dockerd sends, and reads until the answers are there.
    private func exchange(_ path: String, _ requests: String, until end: String) async throws -> String {
        let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await client.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: requests))
            var text = ""
            for try await chunk in inbound {
                text += String(buffer: chunk)
                if text.hasSuffix(end) { break }
            }
            return text
        }
    }

    private func serving(inherited: CInt? = nil, _ path: String, _ body: @Sendable () async throws -> Void) async throws {
        let service = try PluginService(
            backend: MemoryBackend(networks: []), store: MemoryStore(), journal: .temporary(), logger: Logger(label: "test"))
        let server = PluginServer(service: service, socketPath: path, inherited: inherited, logger: Logger(label: "test"))
        try await withThrowingTaskGroup { group in
            let (started, start) = AsyncStream<Void>.makeStream()
            group.addTask { try await server.run { start.finish() } }
            for await _ in started {}
            try await body()
            group.cancelAll()
        }
    }

    private static let twoCalls =
        "POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n0\r\n\r\n"
        + "POST /NetworkDriver.Leave HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

    @Test("Two calls on one connection, one chunked; other methods and paths are not found")
    func calls() async throws {
        let path = "/tmp/weft-plugin-test-\(getpid())-1.sock"
        try await serving(path) {
            let text = try await exchange(path, Self.twoCalls, until: "{}")
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(text.contains("Content-Type: application/vnd.docker.plugins.v1.1+json"))
            #expect(text.contains(#"{"Implements":["NetworkDriver","IpamDriver"]}"#))
            let other = try await exchange(path, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", until: "method\"}")
            #expect(other.hasPrefix("HTTP/1.1 404"))
        }
        #expect(access(path, F_OK) != 0, "the socket goes with the server")
    }

    @Test("An inherited socket serves who connected before, and stays at the end")
    func inherited() async throws {
        let path = "/tmp/weft-plugin-test-\(getpid())-2.sock"
        unlink(path)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        #expect(bound == 0 && listen(listener, 8) == 0)
        defer {
            close(listener)
            unlink(path)
        }
        let early = Task { try await exchange(path, Self.twoCalls, until: "{}") }
        try await serving(inherited: dup(listener), path) {
            let answer = try await early.value
            #expect(answer.contains("IpamDriver"))
        }
        #expect(access(path, F_OK) == 0)
    }
}
