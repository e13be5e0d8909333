import Foundation
import GRPCCore
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing
import WeftModel
import WeftNet

@testable import WeftIdentity
@testable import WeftRPC

private func address(_ number: UInt32) -> IPv4Address { IPv4Address(rawValue: 0x0a00_0000 + number) }
private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

@Suite("Shares of the managers' port") struct PortShareTests {
    private func shares(familiar: [IPv4Address] = [], _ change: (inout PortLimits) -> Void = { _ in }) -> PortShares {
        var limits = PortLimits()
        change(&limits)
        return PortShares(limits: limits, familiar: familiar, now: start)
    }

    @Test("bound the connections of one address, and give them back")
    func perAddress() throws {
        var shares = shares()
        let ids = try (0..<32).map { _ in try shares.admit(address(1), now: start).get().id }
        #expect(shares.admit(address(1), now: start) == .failure(.tooManyOfAddress))
        #expect(throws: Never.self) { try shares.admit(address(2), now: start).get() }
        shares.close(ids[0])
        shares.close(ids[0])
        #expect(throws: Never.self) { try shares.admit(address(1), now: start).get() }
        #expect(shares.admit(address(1), now: start) == .failure(.tooManyOfAddress))
    }

    @Test("bound the connections of all strangers, but for those from members' addresses")
    func overall() throws {
        var shares = shares(familiar: [address(9999)]) { $0.strangers = 10 }
        for number in 0..<10 { _ = try shares.admit(address(UInt32(number)), now: start).get() }
        #expect(shares.admit(address(50), now: start) == .failure(.tooManyStrangers))
        let member = try shares.admit(address(9999), now: start).get().id
        #expect(shares.identify(member, as: NodeID("n")) == [])
        // Who proved to be a member leaves his place, and his address is familiar from then on.
        shares.close(1)
        let newcomer = try shares.admit(address(60), now: start).get().id
        #expect(shares.admit(address(61), now: start) == .failure(.tooManyStrangers))
        #expect(shares.identify(newcomer, as: NodeID("m")) == [])
        #expect(throws: Never.self) { try shares.admit(address(61), now: start).get() }
        #expect(shares.admit(address(62), now: start) == .failure(.tooManyStrangers))
        #expect(throws: Never.self) { try shares.admit(address(60), now: start).get() }
    }

    @Test("count right when an address becomes familiar with strangers on it")
    func becomingFamiliar() throws {
        var shares = shares { $0.strangers = 3 }
        let first = try shares.admit(address(1), now: start).get().id
        let second = try shares.admit(address(1), now: start).get().id
        _ = try shares.admit(address(2), now: start).get()
        _ = shares.identify(first, as: NodeID("n"))
        shares.close(second)
        shares.close(first)
        _ = try shares.admit(address(3), now: start).get()
        _ = try shares.admit(address(4), now: start).get()
        #expect(shares.admit(address(5), now: start) == .failure(.tooManyStrangers))
    }

    @Test("slow down who comes again and again, and forget it in time")
    func arrivals() throws {
        var shares = shares()
        var refused = 0
        for _ in 0..<200 {
            switch shares.admit(address(1), now: start) {
            case .success(let admission): shares.close(admission.id)
            case .failure(let refusal):
                #expect(refusal == .tooFast)
                refused += 1
            }
        }
        #expect(refused == 200 - 64)
        #expect(throws: Never.self) { try shares.admit(address(2), now: start).get() }
        let later = start + .seconds(1)
        for _ in 0..<16 { shares.close(try shares.admit(address(1), now: later).get().id) }
        #expect(shares.admit(address(1), now: later) == .failure(.tooFast))
    }

    @Test("let a member in where strangers hold all that its address has: their oldest gives way after its grace")
    func sharedAddress() throws {
        var shares = shares(familiar: [address(1)])
        let member = try shares.admit(address(1), now: start).get().id
        _ = shares.identify(member, as: NodeID("n"))
        var held = try (0..<32).map { _ in try shares.admit(address(1), now: start).get().id }
        #expect(shares.admit(address(1), now: start + .milliseconds(499)) == .failure(.tooManyOfAddress))
        // As many as may come hold no more than the share, and no member's is ended for them.
        let later = start + .milliseconds(500)
        for _ in 0..<32 {
            let admission = try shares.admit(address(1), now: later).get()
            #expect(admission.ended == held.removeFirst())
            held.append(admission.id)
        }
        #expect(shares.admit(address(1), now: later) == .failure(.tooManyOfAddress))
        // That the connection which gave way closes at last changes nothing.
        shares.close(member + 1)
        #expect(shares.admit(address(1), now: later) == .failure(.tooManyOfAddress))
        // Who shows that it is a member leaves its place, and is not among those who give way.
        #expect(shares.identify(held.removeFirst(), as: NodeID("n")) == [])
        #expect(try shares.admit(address(1), now: later).get().ended == nil)
        #expect(try shares.admit(address(1), now: later + .seconds(1)).get().ended == held[0])
    }

    @Test("let more come in a second from members' addresses, from the first member on")
    func familiarArrivals() throws {
        var shares = shares()
        for _ in 0..<63 { shares.close(try shares.admit(address(1), now: start).get().id) }
        let member = try shares.admit(address(1), now: start).get().id
        #expect(shares.admit(address(1), now: start) == .failure(.tooFast))
        _ = shares.identify(member, as: NodeID("n"))
        for _ in 0..<256 { shares.close(try shares.admit(address(1), now: start).get().id) }
        #expect(shares.admit(address(1), now: start) == .failure(.tooFast))
        let later = start + .seconds(1)
        for _ in 0..<64 { shares.close(try shares.admit(address(1), now: later).get().id) }
        #expect(shares.admit(address(1), now: later) == .failure(.tooFast))
    }

    @Test("end a member's oldest connections when it has too many")
    func perNode() throws {
        var shares = shares()
        let node = NodeID("n")
        var ids: [PortShares.ConnectionID] = []
        for _ in 0..<4 {
            let id = try shares.admit(address(1), now: start).get().id
            #expect(shares.identify(id, as: node) == [])
            ids.append(id)
        }
        let fifth = try shares.admit(address(1), now: start).get().id
        #expect(shares.identify(fifth, as: node) == [ids[0]])
        shares.close(ids[0])
        let sixth = try shares.admit(address(1), now: start).get().id
        #expect(shares.identify(sixth, as: node) == [ids[1]])
    }

    @Test("keep to a bounded memory whatever addresses there are")
    func manyAddresses() {
        var shares = shares { $0.arrivals = .init(burst: 1_000_000, perSecond: 0) }
        for number in 0..<50_000 {
            if case .success(let admission) = shares.admit(address(UInt32(number)), now: start) { shares.close(admission.id) }
        }
        #expect(shares.rememberedAddresses <= 8192)
    }
}

@Suite("The gauge of HTTP/2 frames") struct FrameGaugeTests {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private func frame(_ kind: UInt8, stream: UInt8 = 1, length: Int, sent: Int? = nil) -> [UInt8] {
        [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), kind, 0, 0, 0, 0, stream]
            + [UInt8](repeating: 0, count: sent ?? length)
    }

    /// Feeds bytes in pieces of a size, and returns the first violation.
    private func feed(_ bytes: [UInt8], pieces: Int, as caller: FrameGauge.Caller = .stranger) -> (FrameGauge.Violation?, FrameGauge) {
        var gauge = FrameGauge(limits: PortLimits(), now: start)
        gauge.caller = caller
        var position = 0
        while position < bytes.count {
            let piece = ByteBuffer(bytes: bytes[position..<min(position + pieces, bytes.count)])
            do throws(FrameGauge.Violation) { try gauge.receive(piece.readableBytesView, now: start) } catch { return (error, gauge) }
            position += pieces
        }
        return (nil, gauge)
    }

    @Test("lets a stranger say one small message, however it is cut", arguments: [1, 2, 7, 9, 10, 1000, 100_000])
    func smallMessage(pieces: Int) {
        let bytes =
            Self.preface + frame(4, stream: 0, length: 0) + frame(1, length: 80) + frame(0, length: 16_384)
            + frame(0, length: 16_384)
        let (violation, gauge) = feed(bytes, pieces: pieces)
        #expect(violation == nil)
        #expect(gauge.hasCalled)
    }

    @Test("stops a message by its frames' lengths, before the bytes are there")
    func largeMessage() {
        var bytes = Self.preface + frame(1, length: 80)
        for _ in 0..<4 { bytes += frame(0, length: 16_384) }
        bytes += frame(0, length: 6, sent: 0)
        #expect(feed(bytes, pieces: 4096).0 == .message)
        #expect(feed(Self.preface + frame(0, length: 70_000, sent: 0), pieces: 4096).0 == .message)
        #expect(feed(bytes, pieces: 4096, as: .member).0 == nil)
    }

    @Test("stops a stranger who says much in small messages, or in nothing but frames")
    func muchOfLittle() {
        var streams = Self.preface
        for number: UInt8 in 0..<8 {
            streams += frame(1, stream: number * 2 + 1, length: 20)
            streams += frame(0, stream: number * 2 + 1, length: 16_384)
            streams += frame(0, stream: number * 2 + 1, length: 1_000)
        }
        #expect(feed(streams, pieces: 4096).0 == .connection)
        #expect(feed(Self.preface + (0..<9).flatMap { frame(1, stream: $0 * 2 + 1, length: 20) }, pieces: 4096).0 == .calls)
        for kind: UInt8 in [0, 2, 3, 4, 6, 7, 8, 9, 200] {
            let flood = (0..<300).flatMap { _ in frame(kind, length: kind == 0 ? 0 : 8) }
            let (violation, gauge) = feed(Self.preface + flood, pieces: 4096)
            #expect(violation == .frames)
            #expect(!gauge.hasCalled)
        }
    }

    @Test("stops a member who floods, and lets one answer to what it is sent")
    func members() {
        let flood = Self.preface + (0..<2000).flatMap { _ in frame(8, length: 4) }
        #expect(feed(flood, pieces: 4096, as: .member).0 == .frames)
        var gauge = FrameGauge(limits: PortLimits(), now: start)
        gauge.caller = .member
        let update = ByteBuffer(bytes: frame(8, length: 4))
        #expect(throws: Never.self) {
            try gauge.receive(ByteBuffer(bytes: Self.preface).readableBytesView, now: start)
            // 64 MB in windows of 32 KB, each opened for the stream and for the connection.
            for _ in 0..<2048 {
                gauge.sent(32_768)
                try gauge.receive(update.readableBytesView, now: start)
                try gauge.receive(update.readableBytesView, now: start)
            }
            // 512 a second are a member's anyway.
            for second in 1...60 {
                for _ in 0..<512 { try gauge.receive(update.readableBytesView, now: start + .seconds(Int64(second))) }
            }
        }
    }
}

/// A connection of raw bytes to a server.
private final class RawConnection {
    let descriptor: Int32

    init(to port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw POSIXError(.ECONNREFUSED) }
    }

    /// Whether the other side has closed.
    var isEnded: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN)
    }

    func send(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    deinit { close(descriptor) }
}

/// What became of a client's sessions.
private final class Record: Sendable {
    let ends = Mutex<[SessionEnd]>([])
    let answered = Mutex(0)
}

extension TestManager {
    /// Somebody who has joined before.
    func member(_ id: String) throws -> NodeIdentity {
        members.withLock { _ = $0.insert(NodeID(id)) }
        return try authority.makeIdentity(node: NodeID(id), role: .worker, cluster: cluster.id, lifetimeSeconds: 3600, now: .now)
    }
}

@Suite("The managers' port", .timeLimit(.minutes(5))) struct PortTests {
    @Test("ends connections without a handshake, and serves members meanwhile")
    func unfinishedHandshakes() async throws {
        var limits = PortLimits()
        limits.strangersPerAddress = 20
        let service = try TestManager()
        try await withServer(service, limits: limits) { address in
            let silent = try (0..<10).map { _ in try RawConnection(to: address.port) }
            let chatty = try RawConnection(to: address.port)
            // The head of a TLS record, and no more.
            chatty.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
            // Its own handshake has no more time: the next attempt may be quicker.
            try await eventually("no member is served") { (try? await join(service, address)) != nil }
            try await eventually("they stay") { silent.allSatisfy(\.isEnded) && chatty.isEnded }
        }
    }

    @Test("turns everybody away while descriptors are short, and goes on")
    func fewDescriptors() async throws {
        var limits = PortLimits()
        limits.descriptorReserve = Int(Int32.max)
        let port = PortGuard(limits: limits, familiar: [], isMember: { _ in false }, logger: logger)
        let service = try TestManager()
        try await withServer(service, limits: limits) { address in
            let surplus = try RawConnection(to: address.port)
            try await eventually("it is let in") { surplus.isEnded }
        }
        // One that was let in, and found to be too many only when gRPC had set it up, is closed and no error: gRPC could not bear one.
        let listener = try await ServerBootstrap(group: serverLoop).bind(host: "127.0.0.1", port: 0).get()
        let channel = try await ClientBootstrap(group: serverLoop).connect(to: #require(listener.localAddress)).get()
        try await channel.eventLoop.flatSubmit { port.watchConnection(channel) }.get()
        try await channel.closeFuture.get()
        try await listener.close().get()
    }

    @Test("turns away more connections than an address may have, and takes others when they are gone")
    func tooManyConnections() async throws {
        var limits = PortLimits()
        (limits.handshake, limits.strangerLife) = (.minutes(5), .minutes(5))
        limits.strangersPerAddress = 5
        let service = try TestManager()
        try await withServer(service, limits: limits) { address in
            var open = try (0..<5).map { _ in try RawConnection(to: address.port) }
            // Those were let in before this one is turned away.
            let surplus = try RawConnection(to: address.port)
            try await eventually("it is let in") { surplus.isEnded }
            #expect(open.allSatisfy { !$0.isEnded })
            open = []
            try await eventually("the places are not free again") {
                (try? await join(service, address)) != nil
            }
        }
    }

    @Test("keeps a member's session past every limit of strangers")
    func memberStays() async throws {
        var limits = PortLimits()
        limits.strangerLife = .seconds(3)
        limits.strangerBytes = 64 << 10
        limits.strangerWireBytes = 64 << 10
        let service = try TestManager { message, session in
            if case .leaseRequest(let number, _, _, _) = message { try session.send(.leaseGranted(number)) }
        }
        let identity = try service.member("n")
        let record = Record()
        try await withServer(service, limits: limits) { address in
            let scratch = try Scratch()
            let client = DispatcherClient(
                credentials: try NodeCredentials(identity, directory: scratch.path), managers: [address], silenceLimit: patience,
                opening: .patient, logger: logger)
            let running = Task {
                await client.run(
                    serve: { session, incoming in
                        try session.send(hello)
                        for number in 0..<200 {
                            let leases = (0..<20).map { "some-network/10.0.\($0).0/28 and some more" }
                            try session.send(.leasesReturned(leases))
                            try session.send(.leaseRequest(UInt64(number), SubnetID(NetworkID("n"), .v4), address: nil))
                            try await Task.sleep(for: .milliseconds(20))
                        }
                        for try await _ in incoming { record.answered.withLock { $0 += 1 } }
                    },
                    ended: { end in
                        // Until its handshake is done it is a stranger, whose time may be too short for it.
                        if end.kind != .notOpened { record.ends.withLock { $0.append(end) } }
                    })
            }
            defer { running.cancel() }
            try await eventually("not all was answered") { record.answered.withLock { $0 } == 200 }
            #expect(record.ends.withLock { $0.isEmpty })
        }
    }

    @Test("refuses members of another swarm, though the root is the same")
    func foreignSwarm() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            // The root signed it, for another swarm.
            let stranger = try service.authority.makeIdentity(
                node: NodeID("spy"), role: .worker, cluster: ClusterID("other"), lifetimeSeconds: 3600, now: .now)
            service.members.withLock { _ = $0.insert(NodeID("spy")) }
            let record = Record()
            let client = DispatcherClient(
                credentials: try NodeCredentials(stranger, directory: scratch.path), managers: [address], opening: .patient,
                logger: logger)
            let running = Task { await client.run(serve: { _, _ in }, ended: { end in record.ends.withLock { $0.append(end) } }) }
            defer { running.cancel() }
            try await eventually("no attempt ended") { !record.ends.withLock { $0.isEmpty } }
            #expect(record.ends.withLock { $0.first?.kind } == .notOpened)
            #expect(service.sessions.withLock { $0.isEmpty })
        }
    }

    @Test("a node does not talk to another swarm's manager, though the root is the same")
    func foreignManager() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let callback = TrustRoots([try #require(try PEM.certificates(service.authority.rootCertificatePEM).first)])
            let mine = try service.authority.makeIdentity(
                node: NodeID("n"), role: .worker, cluster: service.cluster.id, lifetimeSeconds: 3600, now: .now)
            for (cluster, isTrusted) in [(service.cluster.id, true), (ClusterID("other"), false)] {
                let transport = try ManagerTransport.make(
                    address, certificate: NodeCredentials.tls(mine), verify: callback.verifyingManager(of: cluster),
                    eventLoopGroup: .singletonMultiThreadedEventLoopGroup)
                service.members.withLock { _ = $0.insert(NodeID("n")) }
                let answer = try? await withGRPCClient(transport: transport) { client in
                    try await Weft_V1_Dispatcher.Client(wrapping: client).showAddress(.init(), options: ManagerTransport.callOptions)
                }
                #expect((answer != nil) == isTrusted)
            }
        }
    }

    @Test("is called from the data path address too, where sessions come from another")
    func addressProof() async throws {
        let service = try TestManager()
        let other = IPv4Address(rawValue: 0x7f00_0009)
        try await withServer(service) { address in
            let scratch = try Scratch()
            let identity = try await join(service, address)
            let client = DispatcherClient(
                credentials: try NodeCredentials(identity, directory: scratch.path), managers: [address], dataPathAddress: other,
                silenceLimit: patience, opening: .patient, logger: logger)
            let running = Task {
                await client.run(
                    serve: { session, incoming in
                        try session.send(hello)
                        for try await _ in incoming {}
                    }, ended: { _ in })
            }
            defer { running.cancel() }
            try await eventually("it is not shown") { service.shown.withLock { $0.contains { $0.1 == other } } }
            #expect(service.shown.withLock { $0.first?.1 } == IPv4Address(rawValue: 0x7f00_0001))
            #expect(service.shown.withLock { $0.allSatisfy { $0.0 == identity.node } })
        }
    }
}
