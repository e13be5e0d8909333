import Foundation
import Synchronization
import TestSupport
import Testing
import WeftModel
import WeftNet

@testable import WeftIdentity
@testable import WeftRPC

@Suite("Joining", .timeLimit(.minutes(5))) struct JoinTests {
    private func failure(_ token: String, _ address: String) async -> String? {
        do {
            _ = try await JoinClient(patience: patience).join(token: token, manager: address)
            return nil
        } catch { return error.description }
    }

    @Test("gives a worker a certificate of the swarm, and a manager's token a manager's")
    func happyPath() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let worker = try await join(service, address)
            #expect(worker.role == .worker)
            #expect(worker.cluster == service.cluster.id)
            #expect(service.isMember(worker.node))
            #expect(try worker.rootCertificatesPEM == service.cluster.rootCertificatePEM)
            let token = JoinToken(
                rootDigest: try service.authority.rootDigest, secret: service.cluster.managerTokenSecret)
            let manager = try await JoinClient(patience: patience).join(token: token.exposed, manager: address.description)
            #expect(manager.role == .manager)
            #expect(manager.node != worker.node)
        }
    }

    @Test("fails with one sentence for each thing that can be wrong with the token")
    func badTokens() async throws {
        let service = try TestManager()
        let other = try TestManager()
        try await withServer(service) { address in
            let malformed = await failure("SWMTKN-1-abc", address.description)
            #expect(malformed?.contains("has 3 parts between its dashes") == true)

            let elsewhere = await failure(try other.workerToken, address.description)
            #expect(
                elsewhere?.contains("the manager at \(address) is not of the swarm this token belongs to") == true)

            let wrong = JoinToken(
                rootDigest: try service.authority.rootDigest, secret: Secret(String(repeating: "0", count: 25)))
            let refused = await failure(wrong.exposed, address.description)
            #expect(refused?.contains("the manager at \(address) does not accept this token") == true)
            #expect(service.members.withLock { $0.count } == 1)
        }
    }

    @Test("never sends the secret to a manager of another swarm")
    func secretStaysHere() async throws {
        // This one would take any secret, and shows another swarm's root certificate: the certificate of its
        // connection gives it away.
        let victim = try TestManager()
        let asked = Scratchpad()
        let service = ImpostorService(shown: victim.authority.rootCertificatePEM, asked: asked)
        let authority = try CertificateAuthority.make(now: .now)
        let identity = try authority.makeIdentity(
            node: NodeID("m"), role: .manager, cluster: ClusterID("c"), lifetimeSeconds: 3600, now: .now)
        let scratch = try Scratch()
        let server = try ManagerServer(
            credentials: NodeCredentials(identity, directory: scratch.path), service: service,
            address: HostPort(host: "127.0.0.1", port: 0), limits: .patient, eventLoopGroup: serverLoop, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let address = try await server.listeningAddress
            let message = await failure(try victim.workerToken, address.description)
            #expect(message?.contains("no secure connection to \(address)") == true)
            #expect(asked.lines.isEmpty)
            group.cancelAll()
        }
    }

    @Test("is refused by a server whose certificate is a worker's")
    func workerServes() async throws {
        let service = try TestManager()
        let identity = try service.authority.makeIdentity(
            node: NodeID("w"), role: .worker, cluster: service.cluster.id, lifetimeSeconds: 3600, now: .now)
        let scratch = try Scratch()
        let server = try ManagerServer(
            credentials: NodeCredentials(identity, directory: scratch.path), service: service,
            address: HostPort(host: "127.0.0.1", port: 0), limits: .patient, eventLoopGroup: serverLoop, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let address = try await server.listeningAddress
            let message = await failure(try service.workerToken, address.description)
            #expect(message?.contains("no secure connection to \(address)") == true)
            #expect(service.members.withLock { $0.isEmpty })
            group.cancelAll()
        }
    }

    @Test("names what cannot be reached and what to check")
    func unreachable() async throws {
        let service = try TestManager()
        // A port that was just free.
        let free = try await withServer(service) { $0 }
        let refused = await failure(try service.workerToken, free.description)
        #expect(refused?.contains("the manager at \(free) cannot be reached: nothing listens there") == true)

        let unknown = await failure(try service.workerToken, "no-such-host.invalid:2377")
        #expect(unknown?.contains("the name no-such-host.invalid cannot be resolved") == true)

        let mistyped = await failure(try service.workerToken, "127.0.0:2377")
        #expect(mistyped?.contains("\"127.0.0:2377\" is not a manager's address") == true)
    }

    @Test("gives up on an address where nothing answers, within its five seconds")
    func silentAddress() async throws {
        // A listener whose queue of connections is full answers no more.
        let listener = try FullListener()
        let service = try TestManager()
        let message = await failure(try service.workerToken, "127.0.0.1:\(listener.port)")
        #expect(message?.contains("cannot be reached: no answer within 5 s") == true)
    }

    @Test("says so when what listens there is no manager")
    func noTLS() async throws {
        let listener = try EchoListener()
        let service = try TestManager()
        let message = await failure(try service.workerToken, "127.0.0.1:\(listener.port)")
        #expect(message?.contains("no secure connection to 127.0.0.1:\(listener.port)") == true)
    }

    @Test("is not possible on a port that is taken")
    func portTaken() async throws {
        let service = try TestManager()
        try await withServer(service) { address in
            let error = await #expect(throws: ListenError.self) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    let scratch = try Scratch()
                    let identity = try service.authority.makeIdentity(
                        node: NodeID("m"), role: .manager, cluster: ClusterID("c"), lifetimeSeconds: 3600, now: .now)
                    let server = try ManagerServer(
                        credentials: NodeCredentials(identity, directory: scratch.path), service: service,
                        address: address, eventLoopGroup: serverLoop, logger: logger)
                    group.addTask { try await server.run() }
                    try await group.waitForAll()
                }
            }
            #expect(error?.description.contains("cannot listen on \(address)") == true)
        }
    }
}

private struct ImpostorService: ManagerService {
    let shown: String
    let asked: Scratchpad

    func rootCertificatePEM() async throws -> String { shown }
    func join(secret: String, csrPEM: String, as availability: NodeAvailability, remoteAddress: String) async throws -> JoinGrant {
        asked.add(secret)
        throw Refusal(.denied, "caught it")
    }
    func renew(_ peer: PeerIdentity, csrPEM: String) async throws -> (
        certificatePEM: String, rootCertificatesPEM: String
    ) {
        throw Refusal(.unavailable, "no")
    }
    func addressShown(_ address: IPv4Address, by peer: PeerIdentity) async throws -> AddressReply {
        throw Refusal(.unavailable, "no")
    }
    func isMember(_ node: NodeID) -> Bool { false }
    func session(_ session: NodeSession, incoming: NodeMessages) async throws {}
    func logs(_ stream: NodeLogStream, incoming: NodeLogMessages) async throws {}
}
