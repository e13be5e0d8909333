import Crypto
import TestSupport
import Testing
import WeftCrypto
import WeftModel

private func key(_ first: UInt8) throws -> Curve25519.KeyAgreement.PrivateKey {
    try Curve25519.KeyAgreement.PrivateKey(rawRepresentation: (0..<32).map { first + $0 })
}

private func statement(_ node: String, _ key: Curve25519.KeyAgreement.PrivateKey, incarnation: UInt128, isLong: Bool = false)
    -> KeyStatement
{
    KeyStatement(
        cluster: ClusterID("cluster1"), node: NodeID(node), id: StatementID(epoch: 7, incarnation: incarnation),
        publicKey: Array(key.publicKey.rawRepresentation), port: 4500, isLong: isLong)
}

private func bytes(_ hexadecimal: String) -> [UInt8] {
    stride(from: 0, to: hexadecimal.count, by: 2).compactMap { UInt8(hexadecimal.dropFirst($0).prefix(2), radix: 16) }
}

@Suite("Two nodes come to the same two keys")
struct TrafficKeysTests {
    /// Worked out by another implementation of X25519, SHA-256 and HKDF, from the words of docs/design/keys.md.
    @Test(
        "They are what the design says they are",
        arguments: [
            (false, "6c2f93d60ae8fb0f0ae6494a8e7a36f9cc22df87f69a1448", "d92a41d068d3961f7ab6fd4b310755c41c651b304a22d79c"),
            (
                true, "1be6b7a132e3481757acb9b73446c77cb3abc70aa24af420c54aad229047cc3f954d2f402384253e",
                "506183a06b05ab87027a01c39a3bb684ff008d23547988c20f470be60a47ab70eb0d98760d30e3d7"
            ),
        ])
    func vectors(isLong: Bool, there: String, back: String) throws {
        let (first, second) = (try key(1), try key(33))
        let (a, b) = (statement("nodea", first, incarnation: 5), statement("nodeb", second, incarnation: 6, isLong: isLong))
        let at = try TrafficKeys(first, mine: a, theirs: b)
        let other = try TrafficKeys(second, mine: b, theirs: a)
        #expect(at.outbound == other.inbound)
        #expect(at.inbound == other.outbound)
        #expect(at.outbound.material == bytes(there).dropLast(4))
        #expect(at.inbound.material == bytes(back).dropLast(4))
        #expect(at.outbound.spi == bytes(there).suffix(4).reduce(0) { $0 << 8 | UInt32($1) })
    }

    @Test("Another epoch, incarnation, port or peer makes other keys")
    func everythingCounts() throws {
        let (first, second) = (try key(1), try key(33))
        let a = statement("nodea", first, incarnation: 5)
        let b = statement("nodeb", second, incarnation: 6)
        var others = [b, b, b, b, b]
        others[1].id = StatementID(epoch: 8, incarnation: 6)
        others[2].id = StatementID(epoch: 7, incarnation: 7)
        others[3].port = 4789
        others[4].node = NodeID("nodec")
        let keys = try others.map { try TrafficKeys(first, mine: a, theirs: $0).outbound.material }
        #expect(Set(keys).count == others.count)
    }

    @Test("Keys of a small order, one's own statement and another swarm's are refused")
    func refusals() throws {
        let first = try key(1)
        let a = statement("nodea", first, incarnation: 5)
        var b = statement("nodeb", try key(33), incarnation: 6)
        for weak in [[UInt8](repeating: 0, count: 32), [1] + [UInt8](repeating: 0, count: 31)] {
            b.publicKey = weak
            #expect(throws: TrafficKeys.Refusal.weakKey) { try TrafficKeys(first, mine: a, theirs: b) }
        }
        #expect(throws: TrafficKeys.Refusal.wrongParty) { try TrafficKeys(first, mine: a, theirs: a) }
        b = statement("nodeb", try key(33), incarnation: 6)
        b.cluster = ClusterID("cluster2")
        #expect(throws: TrafficKeys.Refusal.wrongParty) { try TrafficKeys(first, mine: a, theirs: b) }
        #expect(throws: TrafficKeys.Refusal.wrongParty) { try TrafficKeys(try key(2), mine: a, theirs: b) }
    }

    @Test("A statement is read as it was signed, and nothing else is one")
    func statements() throws {
        let a = statement("nodea", try key(1), incarnation: 5)
        let signed = a.signedBytes
        #expect(
            signed
                == bytes(
                    "77656674206b65792073746174656d656e74207631000008636c75737465723100056e6f646561002007a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c000000000000000700000000000000000000000000000005119400"
                ))
        #expect(KeyStatement(signedBytes: signed) == a)
        #expect(KeyStatement(signedBytes: signed + [0]) == nil)
        for length in 0..<signed.count { #expect(KeyStatement(signedBytes: Array(signed[..<length])) == nil) }
        var random = SplitMix(state: 3)
        for _ in 0..<2000 {
            var changed = signed
            changed[Int.random(in: 0..<changed.count, using: &random)] = .random(in: 0...255, using: &random)
            if let read = KeyStatement(signedBytes: changed) { #expect(read.signedBytes == changed) }
        }
    }
}
