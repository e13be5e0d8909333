import NIOCore
import NIOEmbedded
import Testing

@testable import WeftAPI

/// Two spliced connections, on an event loop whose time the test moves.
private struct Spliced {
    let loop = EmbeddedEventLoop()
    let client: EmbeddedChannel
    let engine: EmbeddedChannel

    /// The engine's connection starts with `rest` read already.
    init(rest: String) throws {
        let (first, second) = SpliceHandler.pair()
        client = EmbeddedChannel(handler: first, loop: loop)
        engine = EmbeddedChannel(handler: second, loop: loop)
        for channel in [client, engine] { try channel.connect(to: SocketAddress(unixDomainSocketPath: "/none")).wait() }
        second.beginPaused(with: ByteBuffer(string: rest))
    }

    func atClient() throws -> String {
        var all = ""
        while let bytes = try client.readOutbound(as: ByteBuffer.self) { all += String(buffer: bytes) }
        return all
    }
}

@Suite struct SpliceTests {
    @Test func `what follows the head waits until the client has had time to read that`() throws {
        let spliced = try Spliced(rest: "one ")
        try spliced.engine.writeInbound(ByteBuffer(string: "two "))
        #expect(try spliced.atClient() == "")
        spliced.loop.advanceTime(by: .milliseconds(5))
        #expect(try spliced.atClient() == "one two ")
        try spliced.engine.writeInbound(ByteBuffer(string: "three"))
        #expect(try spliced.atClient() == "three")
    }

    @Test func `a client that speaks has read the head`() throws {
        let spliced = try Spliced(rest: "one")
        try spliced.client.writeInbound(ByteBuffer(string: "input"))
        #expect(try spliced.atClient() == "one")
        #expect(try spliced.engine.readOutbound(as: ByteBuffer.self).map { String(buffer: $0) } == "input")
    }

    @Test func `an engine that is done at once is heard to its end`() throws {
        let spliced = try Spliced(rest: "one ")
        try spliced.engine.writeInbound(ByteBuffer(string: "two"))
        spliced.engine.close(promise: nil)
        spliced.loop.run()
        #expect(spliced.client.isActive)
        spliced.loop.advanceTime(by: .milliseconds(5))
        #expect(try spliced.atClient() == "one two")
        #expect(!spliced.client.isActive)
    }

    @Test func `a client that leaves early takes the connection with it`() throws {
        let spliced = try Spliced(rest: "one")
        spliced.client.close(promise: nil)
        spliced.loop.advanceTime(by: .milliseconds(5))
        #expect(!spliced.engine.isActive)
    }
}
