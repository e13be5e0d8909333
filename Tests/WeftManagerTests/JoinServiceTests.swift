import SwiftASN1
import Testing
import WeftControl
import WeftManager
import WeftModel
import X509

@testable import WeftIdentity

/// Runs what is to be refused, and returns how it was.
private func refusal(_ body: () async throws -> Void) async -> Refusal? {
    do {
        try await body()
        return nil
    } catch { return error as? Refusal }
}

@Suite("Who joins", .timeLimit(.minutes(5)))
struct JoiningTests {
    @Test("gets a certificate of the swarm, as a node that the swarm knows, with the role of the token")
    func joins() async throws {
        let swarm = try await Swarm(certificateLifetimeSeconds: 7200)
        let worker = try await swarm.worker()
        #expect(worker.role == .worker)
        #expect(worker.cluster == swarm.credentials.identity.cluster)
        #expect(worker.expiry - worker.issued == .seconds(7200))
        #expect(try await swarm.nodes == [NodeID("manager1"), worker.node].sorted())
        #expect(swarm.manager.isMember(worker.node))
        let other = try await swarm.worker()
        #expect(other.node != worker.node)
    }

    @Test("with the root that the join token names")
    func rootIsTheTokens() async throws {
        let swarm = try await Swarm()
        let shown = try await swarm.joining.rootCertificatePEM()
        let token = JoinToken(rootDigest: try swarm.authority.rootDigest, secret: Secret("x"))
        let trust = try #require(try token.trust(among: shown))
        _ = try await trust.verify([try await swarm.worker().certificate])
    }

    @Test("is refused with a secret that is nobody's, and leaves no node behind", arguments: ["", "0", "wrong"])
    func wrongSecret(_ secret: String) async throws {
        let swarm = try await Swarm()
        let given = secret == "wrong" ? String(repeating: "0", count: 25) : secret
        let refused = await refusal {
            _ = try await swarm.joining.join(secret: given, csrPEM: NodeKey().requestPEM(), remoteAddress: "")
        }
        #expect(refused?.kind == .denied)
        #expect(try await swarm.nodes == [NodeID("manager1")])
    }

    @Test("is refused with a secret that was rotated; the new one is good at once")
    func rotatedToken() async throws {
        let swarm = try await Swarm()
        let former = try await swarm.cluster.workerTokenSecret
        _ = try await swarm.manager.perform(.rotateToken(.worker))
        #expect(try await swarm.cluster.workerTokenSecret != former)
        let refused = await refusal {
            _ = try await swarm.joining.join(secret: former.exposed, csrPEM: NodeKey().requestPEM(), remoteAddress: "")
        }
        #expect(refused?.kind == .denied)
        #expect(try await swarm.worker().role == .worker)
    }

    @Test("is refused with the managers' token: there is one manager, and it makes no worker either")
    func managersToken() async throws {
        let swarm = try await Swarm()
        let secret = try await swarm.cluster.managerTokenSecret.exposed
        let refused = await refusal {
            _ = try await swarm.joining.join(secret: secret, csrPEM: NodeKey().requestPEM(), remoteAddress: "")
        }
        #expect(refused?.kind == .unavailable)
        #expect(try await swarm.nodes == [NodeID("manager1")])
    }

    @Test("is refused with another swarm's token")
    func otherSwarm() async throws {
        let (swarm, other) = (try await Swarm(), try await Swarm())
        let secret = try await other.cluster.workerTokenSecret.exposed
        let refused = await refusal {
            _ = try await swarm.joining.join(secret: secret, csrPEM: NodeKey().requestPEM(), remoteAddress: "")
        }
        #expect(refused?.kind == .denied)
    }

    @Test("is named by the manager, whatever its request says, a manager's name and role included")
    func requestForAnother() async throws {
        let swarm = try await Swarm()
        let key = NodeKey()
        let claim = PeerIdentity(
            node: NodeID("manager1"), role: .manager, cluster: swarm.credentials.identity.cluster)
        let request = try CertificateSigningRequest(
            version: .v1, subject: claim.subject(), privateKey: key.value,
            attributes: CertificateSigningRequest.Attributes(), signatureAlgorithm: .ecdsaWithSHA256)
        let secret = try await swarm.cluster.workerTokenSecret.exposed
        let grant = try await swarm.joining.join(
            secret: secret, csrPEM: request.serializeAsPEM().pemString, remoteAddress: "")
        let identity = try await NodeIdentity(
            key: key, certificatePEM: grant.certificatePEM, rootCertificatesPEM: grant.rootCertificatesPEM)
        #expect(identity.node == grant.node && identity.node != claim.node)
        #expect(identity.role == .worker)

        let renewed = try await swarm.joining.renew(identity.peer, csrPEM: request.serializeAsPEM().pemString)
        let again = try await NodeIdentity(
            key: key, certificatePEM: renewed.certificatePEM, rootCertificatesPEM: renewed.rootCertificatesPEM)
        #expect(again.peer == identity.peer)
    }

    @Test("leaves no node behind when its request is no good, or signed with another key")
    func badRequest() async throws {
        let swarm = try await Swarm()
        let secret = try await swarm.cluster.workerTokenSecret.exposed
        // The signature's last bytes are another's.
        let good = try NodeKey().requestPEM()
        let der = try PEMDocument(pemString: good).derBytes
        let forged = PEMDocument(type: "CERTIFICATE REQUEST", derBytes: Array(der.dropLast(4)) + [1, 2, 3, 4]).pemString
        for text in ["", "nonsense", forged] {
            let refused = await refusal {
                _ = try await swarm.joining.join(secret: secret, csrPEM: text, remoteAddress: "")
            }
            #expect(refused?.kind == .invalid, "\(text)")
        }
        #expect(try await swarm.nodes == [NodeID("manager1")])
    }

    @Test("is not let in when that cannot be kept")
    func fullStore() async throws {
        let swarm = try await Swarm()
        swarm.store.setFull(true)
        await #expect(throws: MemoryStore.Full.self) { try await swarm.worker() }
        swarm.store.setFull(false)
        #expect(try await swarm.nodes == [NodeID("manager1")])
    }
}

@Suite("Who renews its certificate", .timeLimit(.minutes(5)))
struct RenewalTests {
    @Test("stays who it is, with a new key")
    func renews() async throws {
        let swarm = try await Swarm()
        let worker = try await swarm.worker()
        let renewed = try await swarm.renew(worker.peer)
        #expect(renewed.peer == worker.peer)
        #expect(renewed.certificate.publicKey != worker.certificate.publicKey)
        let manager = try await swarm.renew(swarm.credentials.identity.peer)
        #expect(manager.peer == swarm.credentials.identity.peer)
    }

    @Test("keeps the role that the swarm has for it, whatever its certificate says")
    func role() async throws {
        let swarm = try await Swarm()
        let worker = try await swarm.worker()
        let claim = PeerIdentity(node: worker.node, role: .manager, cluster: worker.cluster)
        #expect(try await swarm.renew(claim).role == .worker)
    }

    @Test("is refused once it was removed")
    func removed() async throws {
        let swarm = try await Swarm()
        let worker = try await swarm.worker()
        _ = try await swarm.manager.perform(.removeNode(worker.node, force: true))
        #expect(!swarm.manager.isMember(worker.node))
        let refused = await refusal { _ = try await swarm.renew(worker.peer) }
        #expect(refused == Refusal(.denied, "this node was removed from the swarm"))
    }

    @Test("is refused with another swarm's certificate, though that has a node of the same name")
    func otherSwarm() async throws {
        let (swarm, other) = (try await Swarm(), try await Swarm())
        let stranger = other.credentials.identity.peer
        #expect(stranger.node == swarm.credentials.identity.node)
        let refused = await refusal { _ = try await swarm.renew(stranger) }
        #expect(refused?.kind == .denied)
    }

    @Test("gets a certificate of the new root while one is being replaced, and joiners one of the root they know")
    func rotatedRoot() async throws {
        let swarm = try await Swarm()
        let worker = try await swarm.worker()
        let next = try CertificateAuthority.make(now: .now)
        var rotation = ClusterRotation()
        rotation.root = try next.rootAuthority
        try await swarm.update(rotating: rotation)

        let renewed = try await swarm.renew(worker.peer)
        #expect(renewed.issuingRoot == next.root)
        #expect(renewed.roots == [next.root, swarm.authority.root])
        // By now the manager believes both, and shows the old until the last worker has changed.
        #expect(swarm.credentials.trust.current.contains(next.root))
        #expect(swarm.credentials.identity.issuingRoot == swarm.authority.root)
        #expect(try await swarm.renew(swarm.credentials.identity.peer).issuingRoot == swarm.authority.root)

        let joiner = try await swarm.worker()
        #expect(joiner.issuingRoot == swarm.authority.root)
        #expect(!joiner.isOfWantedRoot)
    }
}
