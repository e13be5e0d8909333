import Foundation
import Testing
import WeftModel
import X509

@testable import WeftIdentity

@Suite("Identities") struct IdentityTests {
    @Test("survive their directory, in one file for the owner only")
    func saveAndLoad() throws {
        let scratch = try Scratch()
        #expect(try NodeIdentity.load(from: scratch.path) == nil)
        let authority = try CertificateAuthority.make(now: .now)
        let identity = try authority.makeIdentity(
            node: NodeID("n1"), role: .worker, cluster: ClusterID("c1"), lifetimeSeconds: 60, now: .now)
        try identity.save(to: scratch.path)
        let loaded = try #require(try NodeIdentity.load(from: scratch.path))
        #expect(loaded.certificate == identity.certificate)
        #expect(loaded.roots == [authority.root])
        #expect(loaded.key.value == identity.key.value)
        #expect((loaded.node, loaded.role, loaded.cluster) == (NodeID("n1"), .worker, ClusterID("c1")))
        #expect(loaded.expiry - loaded.issued == .seconds(60))
        let file = scratch.path + "/node.pem"
        #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
        try Data("-----BEGIN NONSENSE".utf8).write(to: URL(filePath: file))
        #expect(throws: IdentityError.self) { try NodeIdentity.load(from: scratch.path) }
        try NodeIdentity.remove(from: scratch.path)
        #expect(try NodeIdentity.load(from: scratch.path) == nil)
    }

    @Test("come from an authority that is taken up from its own text")
    func authorityAgain() async throws {
        let first = try CertificateAuthority.make(now: .now)
        let second = try CertificateAuthority(
            rootCertificatePEM: first.rootCertificatePEM, privateKeyPEM: first.privateKeyPEM)
        let key = NodeKey()
        let certificate = try second.sign(
            csrPEM: key.requestPEM(), node: NodeID("n"), role: .manager, cluster: ClusterID("c"), lifetimeSeconds: 60,
            now: .now)
        let identity = try await NodeIdentity(
            key: key, certificatePEM: certificate, rootCertificatesPEM: first.rootCertificatePEM)
        #expect(identity.role == .manager)

        let other = try CertificateAuthority.make(now: .now)
        #expect(throws: IdentityError.keyMismatch) {
            try CertificateAuthority(rootCertificatePEM: first.rootCertificatePEM, privateKeyPEM: other.privateKeyPEM)
        }
        await #expect(throws: IdentityError.untrusted) {
            try await NodeIdentity(key: key, certificatePEM: certificate, rootCertificatesPEM: other.rootCertificatePEM)
        }
        await #expect(throws: IdentityError.keyMismatch) {
            try await NodeIdentity(
                key: NodeKey(), certificatePEM: certificate, rootCertificatesPEM: first.rootCertificatePEM)
        }
    }

    @Test("Roots that a manager read off its own store do not give way to older ones")
    func olderRoots() throws {
        let scratch = try Scratch()
        let authority = try CertificateAuthority.make(now: .now)
        let credentials = try NodeCredentials(
            try authority.makeIdentity(node: NodeID("n1"), role: .manager, cluster: ClusterID("c1"), lifetimeSeconds: 60, now: .now),
            directory: scratch.path)
        let first = authority.rootCertificatePEM
        let both = try CertificateAuthority.make(now: .now).rootCertificatePEM + first
        // A manager that was restored from a backup begins at an earlier revision: among what is told, the last counts.
        try credentials.replaceRoots(pem: both, of: Version(9))
        try credentials.replaceRoots(pem: first, of: Version(3))
        #expect(try credentials.identity.rootCertificatesPEM == first)
        try credentials.replaceRoots(pem: both, ofOwnStoreAt: Version(5))
        try credentials.replaceRoots(pem: first, of: Version(4))
        #expect(try credentials.identity.rootCertificatesPEM == both)
        try credentials.replaceRoots(pem: first, of: Version(6))
        #expect(try credentials.identity.rootCertificatesPEM == first)
    }

    @Test("are not given for a request that is nonsense")
    func badRequests() throws {
        let authority = try CertificateAuthority.make(now: .now)
        for text in ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"] {
            #expect(throws: IdentityError.self) {
                try authority.sign(
                    csrPEM: text, node: NodeID("n"), role: .worker, cluster: ClusterID("c"), lifetimeSeconds: 60,
                    now: .now)
            }
        }
    }

    @Test("expire")
    func expiry() async throws {
        let authority = try CertificateAuthority.make(now: .now)
        let old = try authority.makeIdentity(
            node: NodeID("n"), role: .worker, cluster: ClusterID("c"), lifetimeSeconds: 60,
            now: Instant.now + .seconds(-120))
        await #expect(throws: IdentityError.untrusted) { try await TrustRoots(old.roots).verify([old.certificate]) }
    }

    @Test("A root that the operator brings is checked")
    func givenRoot() throws {
        let current = try CertificateAuthority.make(now: .now)
        let own = try CertificateAuthority.make(now: .now)
        func give(
            _ certificate: String, _ key: Secret, now: Instant = .now
        ) throws(RootRefusal) -> CertificateAuthority {
            try CertificateAuthority.given(
                certificatePEM: certificate, privateKeyPEM: key, replacing: current.rootCertificatePEM, now: now)
        }
        let given = try give(own.rootCertificatePEM, own.privateKeyPEM)
        #expect(given.rootCertificatePEM == own.rootCertificatePEM)
        #expect(throws: RootRefusal.certificateUnreadable) { try give("junk", own.privateKeyPEM) }
        #expect(throws: RootRefusal.keyUnreadable) { try give(own.rootCertificatePEM, Secret("junk")) }
        #expect(throws: RootRefusal.keyMismatch) { try give(own.rootCertificatePEM, current.privateKeyPEM) }
        #expect(throws: RootRefusal.severalCertificates) {
            try give(own.rootCertificatePEM + current.rootCertificatePEM, own.privateKeyPEM)
        }
        #expect(throws: RootRefusal.expiresSoon) {
            try give(own.rootCertificatePEM, own.privateKeyPEM, now: .now + .seconds(19 * 366 * 24 * 3600))
        }
        let leaf = try own.makeIdentity(
            node: NodeID("n"), role: .worker, cluster: ClusterID("c"), lifetimeSeconds: 900 * 24 * 3600, now: .now)
        let scratch = try Scratch()
        try leaf.save(to: scratch.path)
        let file = try String(contentsOfFile: scratch.path + "/node.pem", encoding: .utf8)
        let end = "-----END PRIVATE KEY-----\n"
        let key = Secret(try #require(file.components(separatedBy: end).first) + end)
        let certificate = try PEM.text(leaf.certificate)
        #expect(throws: RootRefusal.noRoot) { try give(certificate, key) }
    }
}
