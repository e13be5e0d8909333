import Testing
import WeftControl
import WeftModel

extension Swarm {
    private static func issuer(_ root: String) -> CertificateIssuer {
        CertificateIssuer(subject: Array("cn".utf8), publicKey: Array(root.utf8))
    }

    mutating func update(_ change: (inout ClusterSpec, inout ClusterRotation) -> Void) throws -> Cluster {
        let cluster = try #require(replica.cluster)
        var (spec, rotation) = (cluster.spec, ClusterRotation())
        change(&spec, &rotation)
        guard
            case .cluster(let updated) = try run(
                .updateCluster(version: cluster.version, spec, rotating: rotation))
        else { throw Unexpected(what: "reply") }
        return updated
    }

    mutating func replaceRoot(by root: String) throws {
        _ = try update {
            $1.root = RootAuthority(
                certificatePEM: root, issuer: Self.issuer(root), privateKeyPEM: Secret("key of \(root)"))
        }
    }

    /// The node says that its certificate is from this root.
    mutating func hasCertificate(_ node: NodeID, of root: String) {
        var description = Self.description("host-\(node)")
        description.trust = TrustInformation(rootsPEM: root, issuer: Self.issuer(root))
        say(.descriptionChanged(description), as: node)
    }
}

@Suite("A new root") struct RootTests {
    private let worker = NodeID("w1")

    private func swarm() throws -> Swarm {
        var swarm = try Swarm()
        try swarm.replaceRoot(by: "PEM")
        #expect(swarm.replica.cluster?.rootRotation == nil)
        let worker = try swarm.admit("w1")
        try swarm.hello(Swarm.first, vtep: "172.30.0.1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        swarm.hasCertificate(Swarm.first, of: "PEM")
        swarm.hasCertificate(worker, of: "PEM")
        return swarm
    }

    private func roots(_ node: NodeID, _ swarm: Swarm) throws -> String? {
        try swarm.assignments(node).cluster?.rootCertificatesPEM
    }

    @Test("is trusted by all before any certificate is from it, and managers change last")
    func stages() throws {
        var swarm = try swarm()
        try swarm.replaceRoot(by: "NEW")
        #expect(try roots(worker, swarm) == "NEWPEM")
        #expect(try roots(Swarm.first, swarm) == "PEMNEW")
        #expect(swarm.replica.signingRoot(for: .worker)?.privateKeyPEM == Secret("key of NEW"))
        #expect(swarm.replica.signingRoot(for: .manager)?.certificatePEM == "PEM")
        #expect(swarm.replica.joiningRoot?.privateKeyPEM == Secret("key of PEM"))

        swarm.hasCertificate(worker, of: "NEW")
        #expect(swarm.replica.cluster?.rootRotation?.stage == .managers)
        #expect(try roots(Swarm.first, swarm) == "NEWPEM")
        #expect(swarm.replica.signingRoot(for: .manager)?.certificatePEM == "NEW")
        #expect(swarm.replica.cluster?.rootCertificatePEM == "PEM")

        swarm.hasCertificate(Swarm.first, of: "NEW")
        #expect(swarm.replica.cluster?.rootRotation == nil)
        #expect(swarm.replica.cluster?.rootCertificatePEM == "NEW")
        #expect(swarm.replica.joiningRoot?.privateKeyPEM == Secret("key of NEW"))
        #expect(try roots(worker, swarm) == "NEW" && roots(Swarm.first, swarm) == "NEW")
        #expect(swarm.closed.isEmpty)
    }

    @Test("waits for nodes that are away, until they come back or are removed")
    func absent() throws {
        var swarm = try swarm()
        let away = try swarm.admit("w2")
        try swarm.replaceRoot(by: "NEW")
        swarm.hasCertificate(worker, of: "NEW")
        swarm.pass(.seconds(60))
        #expect(swarm.replica.cluster?.rootRotation?.stage == .workers)
        _ = try swarm.run(.removeNode(away, force: true))
        try swarm.hello(Swarm.first, vtep: "172.30.0.1")
        swarm.hasCertificate(Swarm.first, of: "NEW")
        #expect(swarm.replica.cluster?.rootCertificatePEM == "NEW")
    }

    @Test("survives a restart of the manager in between")
    func restart() throws {
        var swarm = try swarm()
        try swarm.replaceRoot(by: "NEW")
        swarm.restart()
        #expect(swarm.replica.signingRoot(for: .worker)?.privateKeyPEM == Secret("key of NEW"))
        try swarm.hello(Swarm.first, vtep: "172.30.0.1")
        try swarm.hello(worker, vtep: "172.30.0.2")
        swarm.hasCertificate(worker, of: "NEW")
        swarm.hasCertificate(Swarm.first, of: "NEW")
        #expect(swarm.replica.cluster?.rootCertificatePEM == "NEW")
    }

    @Test("gives way to another one, and its certificates are trusted until they are gone")
    func replaced() throws {
        var swarm = try swarm()
        try swarm.replaceRoot(by: "NEW")
        swarm.hasCertificate(worker, of: "NEW")
        try swarm.replaceRoot(by: "OTHER")
        #expect(try roots(worker, swarm) == "OTHERPEMNEW")
        #expect(swarm.replica.cluster?.rootRotation?.stage == .workers)
        // And back to where it began.
        try swarm.replaceRoot(by: "PEM")
        #expect(try roots(worker, swarm) == "PEMNEWOTHER")
        #expect(swarm.replica.signingRoot(for: .worker)?.privateKeyPEM == Secret("key of PEM"))
        swarm.hasCertificate(worker, of: "PEM")
        swarm.hasCertificate(Swarm.first, of: "PEM")
        #expect(swarm.replica.cluster?.rootRotation == nil)
        #expect(try roots(worker, swarm) == "PEM")
    }

    @Test("that is taken back waits for nodes that may have its certificates and had no time to tell")
    func untold() throws {
        var swarm = try swarm()
        try swarm.replaceRoot(by: "NEW")
        // The worker gets a certificate of the new root, and its session ends before it says so.
        swarm.disconnect(worker)
        try swarm.replaceRoot(by: "PEM")
        swarm.hasCertificate(Swarm.first, of: "PEM")
        #expect(swarm.replica.cluster?.rootRotation != nil)
        try swarm.hello(worker, vtep: "172.30.0.2")
        swarm.hasCertificate(worker, of: "NEW")
        #expect(swarm.replica.cluster?.rootRotation != nil)
        swarm.hasCertificate(worker, of: "PEM")
        #expect(swarm.replica.cluster?.rootRotation == nil)
    }

    @Test("The unlock key is there as long as managers are locked, and changes when it is asked to")
    func unlockKey() throws {
        var swarm = try Swarm()
        #expect(try swarm.update { $1.unlockKey = true }.unlockKey == nil)
        let first = try #require(try swarm.update { spec, _ in spec.locksManagers = true }.unlockKey)
        #expect(first.exposed.hasPrefix("SWMKEY-1-") && first.exposed.utf8.count == 9 + 43)
        #expect(UnlockKey.bytes(of: first)?.count == 32)
        #expect(try swarm.update { _, _ in }.unlockKey == first)
        let second = try swarm.update { $1.unlockKey = true }.unlockKey
        #expect(second != nil && second != first)
        #expect(try swarm.update { spec, _ in spec.locksManagers = nil }.unlockKey == nil)
    }

    @Test(arguments: ["", "SWMKEY-1-", "SWMKEY-1-abc", "SWMKEY-2-" + String(repeating: "A", count: 43)])
    func `what is no unlock key is known as such`(text: String) {
        #expect(UnlockKey.bytes(of: Secret(text)) == nil)
    }
}
