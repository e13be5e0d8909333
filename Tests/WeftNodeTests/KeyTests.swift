import Testing
import WeftModel
import WeftNet
import WeftNode

@Suite("Keys of the data path, between a node and its manager")
struct KeyTests {
    static let mine = SignedStatement(
        node: Host.id, statement: StatementID(epoch: 1, incarnation: 7), signedBytes: [1], signature: [2], certificatesPEM: "PEM")
    static let theirs = SignedStatement(
        version: Version(11), node: Host.peer, statement: StatementID(epoch: 1, incarnation: 8), signedBytes: [3], signature: [4],
        certificatesPEM: "PEM")

    private func synchronised() throws -> Host {
        var host = try Host()
        host.feed(.sessionOpened)
        host.feed(.received(.assignments(try Host.everything())))
        host.sent = []
        return host
    }

    private func delta(_ base: Int64, _ change: (inout Assignments) throws -> Void) rethrows -> NodeInput {
        var delta = Assignments(isFull: false, baseRevision: Version(base), revision: Version(base + 1))
        try change(&delta)
        return .received(.assignments(delta))
    }

    @Test("There is news with the first word, with what concerns keys, and with nothing else")
    func news() throws {
        var host = try Host()
        #expect(host.machine.keyNews == nil)
        host.feed(.sessionOpened)
        host.feed(.received(.assignments(try Host.everything())))
        var expected = KeyNews(
            cluster: ClusterID("c"), epoch: 1, isNeeded: false, peers: [Host.peer: try address("172.30.0.2")],
            paths: [Host.peer: UnderlayPath(mtu: .ethernet, isUp: true)], heard: Version(10))
        #expect(host.keys == [expected] && host.machine.keyNews == expected)

        host.feed(delta(10) { $0[SignedStatement.self].put = [Self.theirs] })
        expected.statements = [Self.theirs]
        expected.heard = Version(11)
        #expect(host.keys.count == 2 && host.keys.last == expected)

        let readiness = KeyReadiness(
            id: Host.peer, version: Version(12), readiness: Readiness(statement: Self.theirs.statement, through: Version(11)))
        host.feed(delta(11) { $0[KeyReadiness.self].put = [readiness] })
        expected.readinesses = [readiness]
        expected.heard = Version(12)
        #expect(host.keys.count == 3 && host.keys.last == expected)

        var encrypted = try Host.network("safe", "10.0.7.0/24", vni: 4100)
        encrypted.spec.options[NetworkSpec.encryptedOption] = ""
        host.feed(delta(12) { $0.networks = [encrypted] })
        expected.isNeeded = true
        expected.heard = Version(13)
        #expect(host.keys.count == 4 && host.keys.last == expected)
        // Another one is needed no more than the first.
        host.feed(try delta(13) { $0.networks = [try Host.network("plain", "10.0.8.0/24", vni: 4101)] })
        #expect(host.keys.count == 4)

        var view = try #require(try Host.everything().cluster)
        view.keyEpoch = 2
        host.feed(delta(14) { $0.cluster = view })
        expected.epoch = 2
        expected.heard = Version(15)
        #expect(host.keys.count == 5 && host.keys.last == expected)
        view.heartbeatSeconds = 9
        host.feed(delta(15) { $0.cluster = view })
        #expect(host.keys.count == 5)

        // Where it is does not change with it; but who is down cannot answer.
        var peer = try #require(host.machine.peer(Host.peer))
        peer.state = .down
        peer.underlayMTU = MTU(1400)
        host.feed(delta(16) { $0.peers = [peer] })
        expected.paths[Host.peer] = UnderlayPath(mtu: try #require(MTU(1400)), isUp: false)
        expected.heard = Version(17)
        #expect(host.keys.count == 6 && host.keys.last == expected)
        host.feed(
            delta(17) {
                $0.removedPeers = [Host.peer]
                $0[SignedStatement.self].removed = [Self.theirs.id]
            })
        expected.statements = []
        expected.peers = [:]
        expected.paths = [:]
        expected.heard = Version(18)
        #expect(host.keys.count == 7 && host.keys.last == expected)
    }

    @Test("What is known outlives a restart, and what was known without an epoch is of the first")
    func restart() throws {
        var host = try synchronised()
        host.feed(delta(10) { $0[SignedStatement.self].put = [Self.theirs] })
        host.save()
        let restarted = try Host(saved: host.disk)
        #expect(restarted.machine.keyNews == host.machine.keyNews && restarted.machine.keyNews?.statements == [Self.theirs])
    }

    @Test("Own keys are told at once, and in later sessions until the manager tells them back")
    func telling() throws {
        var host = try synchronised()
        host.feed(.keysStated(Self.mine))
        #expect(host.sent == [.keysStated(Self.mine)])
        host.feed(.sessionClosed)
        let ready = Readiness(statement: Self.mine.statement, through: Version(10))
        host.sent = []
        host.feed(.keysReady(ready))
        #expect(host.sent.isEmpty)

        // Before the manager has spoken nobody knows what it has.
        host.feed(.sessionOpened)
        #expect(!host.sent.contains(.keysStated(Self.mine)))
        host.sent = []
        host.feed(.received(.assignments(try Host.everything(revision: 12))))
        #expect(host.sent.contains(.keysStated(Self.mine)) && host.sent.contains(.keysReady(ready)))

        var kept = Self.mine
        kept.version = Version(13)
        host.feed(delta(12) { $0[SignedStatement.self].put = [kept] })
        host.feed(.sessionClosed)
        host.feed(.sessionOpened)
        host.sent = []
        host.feed(delta(13) { $0[KeyReadiness.self].put = [KeyReadiness(id: Host.id, version: Version(14), readiness: ready)] })
        #expect(host.sent.isEmpty)
    }

    @Test("With new keys, what was said of the former ones is not said again")
    func newKeys() throws {
        var host = try synchronised()
        host.feed(.keysStated(Self.mine))
        host.feed(.keysReady(Readiness(statement: Self.mine.statement, through: Version(10))))
        let newer = SignedStatement(
            node: Host.id, statement: StatementID(epoch: 1, incarnation: 9), signedBytes: [1], signature: [2], certificatesPEM: "PEM")
        host.feed(.keysStated(newer))
        host.feed(.sessionClosed)
        host.feed(.sessionOpened)
        host.sent = []
        host.feed(.received(.assignments(try Host.everything(revision: 12))))
        #expect(host.sent == [.keysStated(newer)])
    }
}
