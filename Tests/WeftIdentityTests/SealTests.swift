import Foundation
import Testing
import WeftModel

@testable import WeftIdentity

@Suite("A manager's seal") struct SealTests {
    @Test("opens what it sealed, and nothing that was changed or sealed with another key")
    func secrets() throws {
        let key = DataKey()
        let sealed = try key.secretSeal.seal("a token")
        #expect(sealed.hasPrefix("sealed:1:") && !sealed.contains("token"))
        #expect(try key.secretSeal.open(sealed) == "a token")
        #expect(try key.secretSeal.open("never sealed") == "never sealed")
        #expect(throws: IdentityError.self) { try DataKey().secretSeal.open(sealed) }
        #expect(throws: IdentityError.self) { try key.secretSeal.open(sealed.dropLast(6) + "AAAAAA") }
        #expect(throws: IdentityError.self) { try key.secretSeal.open("sealed:1:%") }
    }

    @Test("is open or locked on disk, as it was saved last")
    func file() throws {
        let scratch = try Scratch()
        let file = SealFile(directory: scratch.path)
        if try file.load() != nil { Issue.record("there is a key before one was saved") }
        var generator = SystemRandomNumberGenerator()
        let unlockKey = UnlockKey.random(using: &generator)
        let key = DataKey()
        try file.save(key, lockedBy: nil)
        guard case .open(let open)? = try file.load() else {
            Issue.record("not open")
            return
        }
        #expect(open.bytes == key.bytes)
        try file.save(key, lockedBy: unlockKey)
        guard case .locked(let locked)? = try file.load() else {
            Issue.record("not locked")
            return
        }
        let text = try String(contentsOfFile: scratch.path + "/seal.json", encoding: .utf8)
        #expect(!text.contains(Data(key.bytes).base64EncodedString()))
        #expect(try locked.open(with: unlockKey).bytes == key.bytes)
        let other = UnlockKey.random(using: &generator)
        #expect(throws: UnlockError.wrongKey) { try locked.open(with: other) }
        #expect(throws: UnlockError.noKey) { try locked.open(with: Secret("SWMKEY-1-nonsense")) }
    }

    @Test("covers the node's key, and leaves legible who the node is")
    func nodeKey() throws {
        let scratch = try Scratch()
        let authority = try CertificateAuthority.make(now: .now)
        let identity = try authority.makeIdentity(
            node: NodeID("n1"), role: .manager, cluster: ClusterID("c"), lifetimeSeconds: 3600, now: .now)
        let key = DataKey()
        _ = try NodeCredentials(identity, directory: scratch.path, sealing: key)
        let text = try String(contentsOfFile: scratch.path + "/node.pem", encoding: .utf8)
        #expect(!text.contains("BEGIN PRIVATE KEY") && text.contains("BEGIN SEALED PRIVATE KEY"))
        #expect(try NodeIdentity.peer(in: scratch.path)?.node == NodeID("n1"))
        #expect(throws: IdentityError.self) { try NodeIdentity.load(from: scratch.path) }
        #expect(throws: IdentityError.self) { try NodeIdentity.load(from: scratch.path, sealing: DataKey()) }
        let loaded = try NodeCredentials.load(from: scratch.path, sealing: key)
        #expect(loaded?.identity.certificate == identity.certificate)
    }
}
