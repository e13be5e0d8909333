import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import NIOPosix
import Synchronization
import TestSupport
import Testing
import WeftModel
import WeftNet

@testable import WeftIdentity
@testable import WeftRPC

/// What a node's client went through.
private final class NodeLog: Sendable {
    let messages = Mutex<[ManagerMessage]>([])
    let ends = Mutex<[SessionEnd]>([])
    let session = Mutex<ManagerSession?>(nil)

    /// A client that says hello and records, until cancelled.
    func run(_ client: DispatcherClient) async {
        await client.run(
            serve: { session, incoming in
                self.session.withLock { $0 = session }
                try session.send(hello)
                for try await message in incoming { self.messages.withLock { $0.append(message) } }
            }, ended: { end in self.ends.withLock { $0.append(end) } })
    }
}

private func client(_ identity: NodeIdentity, _ scratch: Scratch, _ managers: [HostPort]) throws -> DispatcherClient {
    DispatcherClient(
        credentials: try NodeCredentials(identity, directory: scratch.path), managers: managers, silenceLimit: patience, opening: .patient,
        logger: logger)
}

@Suite("Sessions", .timeLimit(.minutes(5))) struct SessionTests {
    @Test("carry messages both ways, in order")
    func bothWays() async throws {
        let service = try TestManager { message, session in
            if case .leaseRequest(let number, _, _, _) = message { try session.send(.leaseGranted(number)) }
        }
        try await withServer(service) { address in
            let scratch = try Scratch()
            let identity = try await join(service, address)
            let client = try client(identity, scratch, [address])
            let log = NodeLog()
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("no session") { !service.received.withLock { $0.isEmpty } }
            #expect(service.received.withLock { $0.first } == hello)
            let session = try #require(service.sessions.withLock { $0.first })
            #expect(session.node == identity.node)
            #expect(session.peer.role == .worker)
            #expect(session.remoteAddress.hasPrefix("127.0.0.1:"))
            let near = try #require(log.session.withLock { $0 })
            for number in 0..<500 { try near.send(.leaseRequest(UInt64(number), SubnetID(NetworkID("n"), .v4), address: nil)) }
            try await eventually("not all answered") { log.messages.withLock { $0.count } == 500 }
            #expect(log.messages.withLock { $0 } == (0..<500).map { .leaseGranted($0) })

            // A set as big as thousands of endpoints make it.
            var big = Assignments(isFull: true, baseRevision: .none, revision: Version(1))
            big.removedLeases = (0..<100_000).map {
                "some-network/10.\($0 >> 8 & 255).\($0 & 255).0/28 and a long tail of text"
            }
            try session.send(.assignments(big))
            try await eventually("the big message did not arrive") { log.messages.withLock { $0.count } == 501 }
            #expect(log.messages.withLock { $0.last } == .assignments(big))
        }
    }

    @Test("end with the manager's reason, and are opened again")
    func goodbye() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            let client = try client(try await join(service, address), scratch, [address])
            let log = NodeLog()
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("no session") { !service.received.withLock { $0.isEmpty } }
            service.sessions.withLock { $0.first }?.close(reason: "replaced by a newer one")
            try await eventually("no second session") { service.received.withLock { $0.count } == 2 }
            #expect(log.messages.withLock { $0 } == [.goodbye(reason: "replaced by a newer one")])
            let end = try #require(log.ends.withLock { $0.first })
            #expect(end.kind == .finished)
            #expect(end.retryAfter <= .milliseconds(100))
        }
    }

    @Test("are refused to a node that was removed, with what to do")
    func removedMember() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            let identity = try await join(service, address)
            service.members.withLock { _ = $0.remove(identity.node) }
            let client = try client(identity, scratch, [address])
            let log = NodeLog()
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("not refused") { !log.ends.withLock { $0.isEmpty } }
            let end = try #require(log.ends.withLock { $0.first })
            #expect(end.kind == .refused)
            #expect(end.reason.contains("is no member of the swarm any more"))
            #expect(end.reason.contains("weft swarm leave --force"))
            #expect(end.retryAfter >= .milliseconds(2500))
            #expect(service.sessions.withLock { $0.isEmpty })
        }
    }

    @Test("and renewals are refused to who has only a certificate of its own")
    func anonymous() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let key = NodeKey()
            let transport = try ManagerTransport.make(
                address, certificate: NodeCredentials.tls(key: key, certificate: key.selfSigned()),
                verify: TrustRoots.acceptingAnyone(), eventLoopGroup: .singletonMultiThreadedEventLoopGroup)
            try await withGRPCClient(transport: transport) { client in
                let session = await #expect(throws: RPCError.self) {
                    try await Weft_V1_Dispatcher.Client(wrapping: client).session(
                        request: StreamingClientRequest { try await $0.write(Weft_V1_NodeMessage(hello)) }
                    ) { for try await _ in $0.messages {} }
                }
                #expect(session?.code == .unauthenticated)
                let renew = await #expect(throws: RPCError.self) {
                    try await Weft_V1_Membership.Client(wrapping: client).renew(.init())
                }
                #expect(renew?.code == .unauthenticated)
                #expect(service.sessions.withLock { $0.isEmpty })
            }
        }
    }

    @Test("are refused to a node of another swarm")
    func otherSwarm() async throws {
        let service = try TestManager()
        let other = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            let stranger = try other.authority.makeIdentity(
                node: NodeID("x"), role: .worker, cluster: service.cluster.id, lifetimeSeconds: 3600, now: .now)
            // It trusts this swarm, so that the refusal is the server's.
            let identity = try NodeIdentity(
                key: stranger.key, certificate: stranger.certificate, roots: [service.authority.root])
            service.members.withLock { _ = $0.insert(NodeID("x")) }
            let log = NodeLog()
            let client = try client(identity, scratch, [address])
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("not refused") { !log.ends.withLock { $0.isEmpty } }
            #expect(log.ends.withLock { $0.first?.kind } == .notOpened)
            #expect(service.sessions.withLock { $0.isEmpty })
        }
    }

    @Test("move on to the next manager when one does not answer")
    func severalManagers() async throws {
        let service = try TestManager()
        let gone = try await withServer(service) { $0 }
        try await withServer(service) { address in
            let scratch = try Scratch()
            let client = try client(try await join(service, address), scratch, [gone, address])
            let log = NodeLog()
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("no session") { !service.received.withLock { $0.isEmpty } }
            let end = try #require(log.ends.withLock { $0.first })
            #expect((end.manager, end.kind) == (gone, .notOpened))
        }
    }

    @Test("are given up when the manager falls silent")
    func silentManager() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            let relay = try Relay(to: UInt16(address.port))
            let client = DispatcherClient(
                credentials: try NodeCredentials(try await join(service, address), directory: scratch.path),
                managers: [HostPort(host: "127.0.0.1", port: Int(relay.port))], opening: .patient,
                logger: logger)
            let log = NodeLog()
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("no session") { !service.received.withLock { $0.isEmpty } }
            // Longer than the silence that ends a session: the keepalive must have kept this one.
            #expect(DispatcherClient.defaultSilenceLimit <= .seconds(8))
            try await Task.sleep(for: DispatcherClient.defaultSilenceLimit * 5 / 4)
            #expect(log.ends.withLock { $0.isEmpty })
            relay.fallSilent()
            try await eventually("not noticed") { !log.ends.withLock { $0.isEmpty } }
            #expect(log.ends.withLock { $0.first?.kind } == .lost)
        }
    }

    @Test("are closed when the node does not keep up")
    func slowNode() async throws {
        let service = try TestManager()
        try await withServer(service, queueLimit: 16) { address in
            let scratch = try Scratch()
            let client = try client(try await join(service, address), scratch, [address])
            let ends = Mutex<[SessionEnd]>([])
            let running = Task {
                await client.run(
                    serve: { session, incoming in
                        try session.send(hello)
                        try await eventually("the session goes on") { service.sessionsEnded.withLock { $0 } == 1 }
                        for try await _ in incoming {}
                    }, ended: { end in ends.withLock { $0.append(end) } })
            }
            defer { running.cancel() }
            try await eventually("no session") { !service.received.withLock { $0.isEmpty } }
            let session = try #require(service.sessions.withLock { $0.first })
            let text = String(repeating: "x", count: 100_000)
            var sent = 0
            #expect(throws: SessionError.overflow(limit: 16)) {
                while sent < 5000 {
                    try session.send(.leaseRefused(1, reason: text))
                    sent += 1
                }
            }
            #expect((16..<5000).contains(sent))
            #expect(throws: SessionError.overflow(limit: 16)) { try session.send(.leaseGranted(1)) }
            try await eventually("the node learns nothing of it") { !ends.withLock { $0.isEmpty } }
            #expect(ends.withLock { $0.first?.kind } == .lost)
        }
    }

    @Test("tell a node of its endpoints that make no sense, where its version understands that", arguments: [true, false])
    func nonsenseEndpoint(isOfThisVersion: Bool) async throws {
        let service = try TestManager { message, session in
            if case .heartbeat = message { try session.send(.leaseGranted(1)) }
        }
        var description = NodeDescription(hostname: "h", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        if isOfThisVersion { description.returnsAddresses = true }
        let ipv4 = IPv4Address(rawValue: 0x0a00_0002)
        let endpoint = Endpoint(
            id: EndpointID("e1"), network: NetworkID("no id"), node: NodeID("n"), sandbox: SandboxID("s"), ipv4: ipv4,
            mac: MACAddress(forIPv4: ipv4), name: "web")
        let hello = NodeMessage.hello(description, dataPathAddress: ipv4, appliedRevision: .none, endpoints: [endpoint])
        try await withServer(service) { address in
            let scratch = try Scratch()
            let client = try client(try await join(service, address), scratch, [address])
            let told = Mutex<[ManagerMessage]>([])
            let running = Task {
                await client.run(
                    serve: { session, incoming in
                        try session.send(hello)
                        try session.send(.endpointsChanged(added: [endpoint], removed: []))
                        try session.send(.heartbeat(appliedRevision: .none))
                        for try await message in incoming { told.withLock { $0.append(message) } }
                    }, ended: { _ in })
            }
            defer { running.cancel() }
            try await eventually("no answer") { told.withLock { $0.contains(.leaseGranted(1)) } }
            let refusals = told.withLock { $0.filter { if case .endpointRefused(EndpointID("e1"), _) = $0 { true } else { false } } }
            #expect(refusals.count == (isOfThisVersion ? 2 : 0))
        }
    }

    @Test("end with an error that names the field when a message makes no sense")
    func nonsense() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            let client = try client(try await join(service, address), scratch, [address])
            let ends = Mutex<[SessionEnd]>([])
            let running = Task {
                await client.run(
                    serve: { session, incoming in
                        try session.send(.heartbeat(appliedRevision: Version(-4)))
                        for try await _ in incoming {}
                    }, ended: { end in ends.withLock { $0.append(end) } })
            }
            defer { running.cancel() }
            try await eventually("not refused") { !ends.withLock { $0.isEmpty } }
            #expect(ends.withLock { $0.first?.reason } == "heartbeat.applied_revision: -4 is negative")
        }
    }

    @Test("renew the certificate in time, and the renewed one is the one used")
    func renewal() async throws {
        let service = try TestManager(lifetimeSeconds: 100)
        try await withServer(service) { address in
            let scratch = try Scratch()
            let identity = try await join(service, address)
            let credentials = try NodeCredentials(identity, directory: scratch.path)
            let client = DispatcherClient(
                credentials: credentials, managers: [address], silenceLimit: patience, renewalShare: 0.001...0.002, opening: .patient,
                logger: logger)
            let log = NodeLog()
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("not renewed") { credentials.identity.certificate != identity.certificate }
            #expect(credentials.identity.node == identity.node)
            #expect(credentials.identity.role == .manager)
            #expect(try NodeIdentity.load(from: scratch.path)?.certificate == credentials.identity.certificate)
            #expect(log.ends.withLock { $0.isEmpty })
            try await eventually("no session") { service.received.withLock { $0.count } == 1 }
            service.sessions.withLock { $0.first }?.close(reason: "test")
            try await eventually("no second session") { service.received.withLock { $0.count } == 2 }
            #expect(service.sessions.withLock { $0.map(\.peer.role) } == [.worker, .manager])
        }
    }

    @Test("get a certificate of the root that leads the trusted ones, while the session goes on")
    func newRoot() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            let identity = try await join(service, address)
            let credentials = try NodeCredentials(identity, directory: scratch.path)
            #expect(try credentials.identity.trust?.issuer == CertificateIssuer(service.authority.root))
            let client = DispatcherClient(
                credentials: credentials, managers: [address], silenceLimit: patience, opening: .patient, logger: logger)
            let log = NodeLog()
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("no session") { service.received.withLock { $0.count } == 1 }
            let next = try CertificateAuthority.make(now: .now)
            service.next.withLock { $0 = next }
            let both = next.rootCertificatePEM + service.authority.rootCertificatePEM
            try credentials.replaceRoots(pem: both, of: Version(1))
            try await eventually("not renewed") { credentials.identity.issuingRoot == next.root }
            let trust = try credentials.identity.trust
            #expect(try trust == TrustInformation(rootsPEM: both, issuer: CertificateIssuer(next.root)))
            #expect(try NodeIdentity.load(from: scratch.path)?.issuingRoot == next.root)
            #expect(log.ends.withLock { $0.isEmpty })
        }
    }

    @Test("renew the certificate between half and four fifths of its life")
    func renewalTime() throws {
        let service = try TestManager()
        let scratch = try Scratch()
        let identity = try service.authority.makeIdentity(
            node: NodeID("n"), role: .worker, cluster: service.cluster.id, lifetimeSeconds: 1000, now: .now)
        let credentials = try NodeCredentials(identity, directory: scratch.path)
        let delays = (0..<100).map { _ in
            CertificateRenewal(credentials: credentials, share: DispatcherClient.defaultRenewalShare, logger: logger)
                .delay(now: identity.issued)
        }
        #expect(delays.allSatisfy { (.seconds(500) ... .seconds(800)).contains($0) })
        #expect(Set(delays).count > 50)
    }

    @Test("are not possible with an expired certificate, and the node says what to do")
    func expired() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let scratch = try Scratch()
            let old = try service.authority.makeIdentity(
                node: NodeID("n"), role: .worker, cluster: service.cluster.id, lifetimeSeconds: 60,
                now: Instant.now + .seconds(-600))
            let log = NodeLog()
            let client = try client(old, scratch, [address])
            let running = Task { await log.run(client) }
            defer { running.cancel() }
            try await eventually("not refused") { !log.ends.withLock { $0.isEmpty } }
            let end = try #require(log.ends.withLock { $0.first })
            #expect(end.kind == .refused)
            #expect(end.reason.contains("certificate has expired"))
        }
    }
}
