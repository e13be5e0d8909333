import Crypto
import Logging
import WeftCrypto
import WeftIdentity
package import WeftModel
import WeftNet
import WeftNode
import WeftTunnelWire

extension KeyKeeper {
    /// The statements that the ring is to be told of: this node's own that are of this life, and those of others that hold.
    func take(_ news: KeyNews) async -> [SignedStatement] {
        var result: [SignedStatement] = []
        for signed in news.statements {
            guard let life, !life.told.contains(signed.id) else { continue }
            guard signed.node != options.node else {
                if life.own[signed.statement] != nil { result.append(signed) }
                continue
            }
            guard news.peers[signed.node] != nil else { continue }
            if life.taken[signed.node]?[signed.statement] != nil {
                result.append(signed)
                continue
            }
            do {
                let statement = try await check(signed, news)
                self.life?.taken[signed.node, default: [:]][signed.statement] = statement
                refused[signed.id] = nil
                result.append(signed)
            } catch {
                guard refused.updateValue("\(error)", forKey: signed.id) != "\(error)" else { continue }
                logger.warning(
                    "a node's keys are not taken",
                    metadata: ["node": "\(signed.node)", "epoch": "\(signed.statement.epoch)", "reason": "\(error)"])
            }
        }
        return result
    }

    /// What a statement says, if it is whole and the node's: managers could have made or changed it.
    private func check(_ signed: SignedStatement, _ news: KeyNews) async throws -> KeyStatement {
        guard let statement = KeyStatement(signedBytes: signed.signedBytes) else { throw StatementRefusal.malformed }
        guard statement.cluster == news.cluster else { throw StatementRefusal.otherSwarm }
        guard statement.node == signed.node, statement.id == signed.statement else { throw StatementRefusal.mislabelled }
        let (first, last) = (news.epoch > 0 ? news.epoch - 1 : 0, news.epoch + 1)
        guard (first...last).contains(statement.id.epoch) else { throw StatementRefusal.otherEpoch }
        let signer = try await identity.signer(
            of: SignedText(bytes: signed.signedBytes, signature: signed.signature, certificatesPEM: signed.certificatesPEM))
        guard signer.cluster == news.cluster, signer.node == signed.node else { throw StatementRefusal.otherNode(signer.node) }
        guard Self.isUsable(statement.publicKey) else { throw StatementRefusal.weakKey }
        return statement
    }

    /// False for a key that leads to the same secret with every other (RFC 7748, section 6.1).
    private static func isUsable(_ publicKey: [UInt8]) -> Bool {
        guard let key = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: publicKey),
            let secret = try? Curve25519.KeyAgreement.PrivateKey().sharedSecretFromKeyAgreement(with: key)
        else { return false }
        return secret.withUnsafeBytes { $0.contains { $0 != 0 } }
    }

    // MARK: What there is to say

    /// How it stands, and what the tunnel has counted.
    package func standing() -> KeyStanding {
        var standing = KeyStanding()
        guard let news else { return standing }
        standing.isNeeded = news.isNeeded
        standing.epoch = news.epoch
        standing.problem = problem
        guard news.isNeeded else { return standing }
        standing.process = session?.process
        standing.stated = life?.ring.stated?.epoch
        var status: TunnelStatus?
        if let session {
            do {
                if case .status(let answer) = try session.ask(.status) { status = answer }
            } catch { standing.problem = "the tunnel's process does not answer: \(error)" }
        } else if problem.isEmpty {
            standing.problem = "the tunnel's process has not started yet"
        }
        if let status {
            for (event, count) in zip(TunnelEvent.allCases, status.counts) { standing.counts["\(event)"] = count }
        }
        let heard = Set((status?.inbound ?? []).filter { $0.highestSequence > 0 }.map(\.peer))
        let sent = Set((status?.outbound ?? []).map(\.peer))
        for (node, address) in news.peers.sorted(by: { $0.key < $1.key }) where node != options.node {
            var pair = KeyStanding.Pair(node: node)
            pair.epoch = life?.outbound[node]?.theirs.epoch
            pair.isHeard = heard.contains(address.rawValue)
            if pair.epoch == nil {
                // Keys of before serve until then.
                let what = sent.contains(address.rawValue) ? "it is sent to under former keys" : "nothing can be sent to it encrypted"
                pair.problem = "\(what): \(reason(node, news))"
            } else if let condition = condition(node, news) {
                pair.problem = condition.sentence
            }
            pair.isReady = pair.epoch != nil && paths.isReady(node)
            pair.roundTrip = paths.roundTrip(node)
            standing.pairs.append(pair)
        }
        return standing
    }

    private func reason(_ node: NodeID, _ news: KeyNews) -> String {
        guard session != nil, let life else { return "this node has no tunnel" }
        guard life.ring.stated != nil else { return "the managers have not taken this node's keys yet" }
        guard life.ring.hasStatement(of: node) else {
            let why = news.statements.last { $0.node == node && refused[$0.id] != nil }.flatMap { refused[$0.id] }
            return why.map { "its keys are not taken: \($0)" } ?? "it has said nothing of its keys"
        }
        return "it has not said that it is ready"
    }
}

/// Why a statement is not taken.
enum StatementRefusal: Error, Equatable, CustomStringConvertible {
    case malformed
    case otherSwarm
    case mislabelled
    case otherEpoch
    case otherNode(NodeID)
    case weakKey

    var description: String {
        switch self {
        case .malformed: "it is no statement"
        case .otherSwarm: "it is another swarm's"
        case .mislabelled: "it is not what the managers say it is"
        case .otherEpoch: "it is of an epoch that is not the swarm's"
        case .otherNode(let node): "node \(node) signed it"
        case .weakKey: "its key is none"
        }
    }
}
