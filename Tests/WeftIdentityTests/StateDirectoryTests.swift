import Foundation
import Testing
import WeftFiles
import WeftIdentity
import WeftModel
import WeftNet

@Suite("The state directory") struct StateDirectoryTests {
    private static let membership = SavedMembership(
        isManager: true, listenAddress: IPv4Address(rawValue: 0), listenPort: 2377,
        advertiseAddress: IPv4Address(rawValue: 0xac1e_0001), advertisePort: 2377,
        dataPathAddress: IPv4Address(rawValue: 0xac1e_0001), node: NodeID("n1"), managers: ["172.30.0.1:2377"])

    @Test("keeps a membership, and says so when what lies there is none")
    func membership() throws {
        let scratch = try Scratch()
        let directory = StateDirectory(scratch.path)
        #expect(try directory.loadMembership() == nil)
        try directory.save(Self.membership)
        #expect(try directory.loadMembership() == Self.membership)
        for text in ["", "{}", "{\"isManager\":true", String(repeating: "[", count: 100_000)] {
            try Data(text.utf8).write(to: URL(filePath: scratch.path + "/membership.json"))
            #expect(throws: UnreadableRecord.self) { try directory.loadMembership() }
        }
    }

    @Test("of the first version names no node")
    func firstVersion() throws {
        let scratch = try Scratch()
        let text = #"""
            {"advertiseAddress":"172.30.0.1","advertisePort":2377,"dataPathAddress":"172.30.0.1","isManager":true,
             "listenAddress":"0.0.0.0","listenPort":2377,"managers":["172.30.0.1:2377"]}
            """#
        try Data(text.utf8).write(to: URL(filePath: scratch.path + "/membership.json"))
        var expected = Self.membership
        expected.node = nil
        #expect(try StateDirectory(scratch.path).loadMembership() == expected)
    }

    @Test("is wiped of all but what is to be kept, and is checked for room without a trace")
    func wipe() throws {
        let scratch = try Scratch()
        let directory = StateDirectory(scratch.path)
        try directory.checkRoom()
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
        try directory.save(Self.membership)
        for folder in ["containers", "others"] {
            try FileManager.default.createDirectory(atPath: "\(scratch.path)/\(folder)/x", withIntermediateDirectories: true)
        }
        try directory.wipe(keeping: ["containers"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["containers"])
        #expect(FileManager.default.fileExists(atPath: "\(scratch.path)/containers/x"))
    }
}

@Suite("A manager's seal in use") struct ManagerSealTests {
    @Test("locks and opens the key on disk as it is told, and leaves it alone when nothing changes")
    func locks() throws {
        let scratch = try Scratch()
        let file = SealFile(directory: scratch.path)
        let seal = try ManagerSeal.make(directory: scratch.path)
        guard case .open? = try file.load() else {
            Issue.record("a new key lies open")
            return
        }
        var generator = SystemRandomNumberGenerator()
        let unlockKey = UnlockKey.random(using: &generator)
        try seal.lock(with: unlockKey)
        guard case .locked(let locked)? = try file.load() else {
            Issue.record("not locked")
            return
        }
        // The same key: what was sealed before opens.
        let sealed = try seal.key.secretSeal.seal("token")
        #expect(try locked.open(with: unlockKey).secretSeal.open(sealed) == "token")

        let before = try Data(contentsOf: URL(filePath: scratch.path + "/seal.json"))
        try seal.lock(with: unlockKey)
        #expect(try Data(contentsOf: URL(filePath: scratch.path + "/seal.json")) == before)

        try seal.lock(with: nil)
        guard case .open(let open)? = try file.load() else {
            Issue.record("not open")
            return
        }
        #expect(try open.secretSeal.open(sealed) == "token")
    }
}
