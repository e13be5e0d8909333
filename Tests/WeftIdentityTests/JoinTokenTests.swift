import Testing
import WeftModel

@testable import WeftIdentity

@Suite("Join tokens") struct JoinTokenTests {
    @Test("are read back from what they print")
    func roundTrip() throws {
        let authority = try CertificateAuthority.make(now: .now)
        var generator = SystemRandomNumberGenerator()
        let token = JoinToken(rootDigest: try authority.rootDigest, secret: JoinToken.randomSecret(using: &generator))
        #expect(token.exposed.count == 85)
        #expect(try JoinToken(parsing: token.exposed) == token)
    }

    @Test("say which part of them is wrong")
    func errors() {
        let digest = String(repeating: "a", count: 50)
        let secret = String(repeating: "b", count: 25)
        let cases: [(String, JoinTokenError)] = [
            ("", .prefix), ("swmtkn-1-x", .prefix), ("SWMTKN", .version("")),
            ("SWMTKN-2-\(digest)-\(secret)", .version("2")),
            ("SWMTKN-1-\(digest)", .parts(3)), ("SWMTKN-1-\(digest)-\(secret)-", .parts(5)),
            ("SWMTKN-1-\(digest)a-\(secret)", .digest), ("SWMTKN-1-\(digest.dropLast())A-\(secret)", .digest),
            ("SWMTKN-1-\(digest)-\(secret)b", .secret), ("SWMTKN-1-\(digest)-\(secret.dropLast())ß", .secret),
        ]
        for (text, error) in cases {
            #expect(throws: error) { try JoinToken(parsing: text) }
        }
    }

    @Test("write numbers in base 36 with leading zeros")
    func base36() {
        #expect(Base36.encode([0], count: 3) == "000")
        #expect(Base36.encode([35], count: 2) == "0z")
        #expect(Base36.encode([0x01, 0x00], count: 1) == "74")
        // 2^256 − 1, from `python3 -c` with divmod.
        #expect(
            Base36.encode([UInt8](repeating: 255, count: 32), count: 50)
                == "6dp5qcb22im238nr3wvp0ic7q99w035jmy2iw7i6n43d37jtof")
    }

    @Test("give the role of their secret and of no other")
    func roles() throws {
        var generator = SystemRandomNumberGenerator()
        let cluster = Cluster(
            id: ClusterID("c1"), createdAt: .now, spec: ClusterSpec(), rootCertificatePEM: "",
            workerTokenSecret: JoinToken.randomSecret(using: &generator),
            managerTokenSecret: JoinToken.randomSecret(using: &generator))
        #expect(JoinToken.role(forSecret: cluster.workerTokenSecret.exposed, in: cluster) == .worker)
        #expect(JoinToken.role(forSecret: cluster.managerTokenSecret.exposed, in: cluster) == .manager)
        #expect(JoinToken.role(forSecret: "", in: cluster) == nil)
        #expect(JoinToken.role(forSecret: cluster.workerTokenSecret.exposed + "0", in: cluster) == nil)
    }
}
