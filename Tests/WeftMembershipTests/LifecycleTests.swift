import Foundation
import TestSupport
import Testing
import WeftAPI
import WeftFiles
import WeftIdentity
import WeftMembership
import WeftModel
import WeftNet

private let joinRequest = SwarmJoinRequest(
    remotes: [.init(host: "172.30.0.1", port: 2377), .init(host: "172.30.0.3", port: 2377)], token: Secret("SWMTKN-1-x-y"))

@Suite("Into a swarm and out of it", .timeLimit(.minutes(5)))
struct InitJoinLeaveTests {
    @Test("init makes the node a manager, which it is after a restart too")
    func initAndRestart() async throws {
        let node = try MemoryNode()
        let first = node.lifecycle()
        await first.start()
        #expect(node.membership.member == nil && node.membership.standing.failure == nil)
        #expect(throws: NotInSwarm()) { try node.membership.required }
        #expect(try await first.initialise(SwarmInitRequest()) == NodeID("manager1"))
        #expect(try node.membership.required.isManaging)
        #expect(node.log == ["found", "prepare", "begin", "follow"])
        #expect(try node.files == ["containers", "membership.json", "node.pem", "seal.json"])
        await #expect(throws: MembershipError.alreadyInSwarm) { try await first.initialise(SwarmInitRequest()) }
        await #expect(throws: MembershipError.alreadyInSwarm) { try await first.join(joinRequest) }
        await first.stop()

        node.clearLog()
        let second = node.lifecycle()
        await second.start()
        #expect(node.log == ["prepare", "begin", "follow"])
        #expect(node.membership.member?.node == NodeID("manager1"))
        #expect(node.membership.member?.isManaging == true)
        await second.stop()
    }

    @Test("a swarm that is announced at a loopback address has its tunnels end at the host's own, and refuses to have them end at one")
    func loopback() async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        var request = SwarmInitRequest()
        let loopback = IPv4Address(rawValue: 0x7f00_0001)
        request.advertiseAddress = .address(loopback)
        request.dataPathAddress = .address(loopback)
        await #expect(throws: MembershipError.noTunnel(to: loopback)) { try await lifecycle.initialise(request) }
        request.dataPathAddress = nil
        _ = try await lifecycle.initialise(request)
        let membership = try node.membership.required.membership
        #expect(membership.advertiseAddress == loopback && membership.dataPathAddress == IPv4Address(rawValue: 0xac1e_0001))
    }

    @Test("an init that fails leaves nothing, and can be tried again", arguments: ["found", "prepare", "begin"])
    func failedInit(_ step: String) async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        await lifecycle.start()
        node.setBroken([step])
        await #expect(throws: MemoryNode.Broken(step: step)) { try await lifecycle.initialise(SwarmInitRequest()) }
        #expect(try node.files == ["containers"])
        #expect(node.log.suffix(2) == ["release", "clear kernel"])
        #expect(node.membership.member == nil && node.membership.standing.failure == nil)
        node.setBroken([])
        _ = try await lifecycle.initialise(SwarmInitRequest())
        #expect(node.membership.member != nil)
    }

    @Test("a join asks one manager after the other, and keeps whom it found")
    func join() async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        node.setBroken(["join 172.30.0.1:2377"])
        try await lifecycle.join(joinRequest)
        let member = try node.membership.required
        #expect(member.membership.managers == ["172.30.0.3:2377"] && member.membership.node == NodeID("worker1"))
        #expect(member.participation != nil && !member.isManaging)
        #expect(try node.files == ["containers", "membership.json", "node.pem"])
    }

    @Test("a join that no manager grants says what the last one said, and leaves nothing")
    func refusedJoin() async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        node.setBroken(["join 172.30.0.1:2377", "join 172.30.0.3:2377"])
        await #expect(throws: JoinFailure(MemoryNode.Broken(step: "join 172.30.0.3:2377"))) {
            try await lifecycle.join(joinRequest)
        }
        #expect(try node.files == ["containers"])
        #expect(node.membership.member == nil)
    }

    @Test("a join that this node cannot use is not tried with another manager")
    func failedJoin() async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        node.setBroken(["begin"])
        await #expect(throws: MemoryNode.Broken(step: "begin")) { try await lifecycle.join(joinRequest) }
        #expect(!node.log.contains("join 172.30.0.3:2377"))
        #expect(try node.files == ["containers"])
        node.setBroken([])
        var paused = joinRequest
        paused.availability = .pause
        try await lifecycle.join(paused)
        #expect(node.log.contains("join 172.30.0.1:2377 as pause"))
    }

    @Test("leaving says goodbye, ends the member, and forgets the swarm")
    func leave() async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        await #expect(throws: NotInSwarm()) { try await lifecycle.leave(force: false) }
        try await lifecycle.join(joinRequest)
        node.clearLog()
        try await lifecycle.leave(force: false)
        #expect(node.log == ["goodbye", "release", "close doors", "end", "forget", "clear kernel"])
        #expect(try node.files == ["containers"])
        #expect(node.membership.member == nil)
        await #expect(throws: NotInSwarm()) { try await lifecycle.leave(force: true) }
    }

    @Test("the last manager leaves by force only")
    func lastManager() async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        _ = try await lifecycle.initialise(SwarmInitRequest())
        await #expect(throws: MembershipError.lastManager) { try await lifecycle.leave(force: false) }
        #expect(node.membership.member != nil)
        try await lifecycle.leave(force: true)
        #expect(try node.files == ["containers"])
    }

    @Test("there is one change at a time")
    func oneAtATime() async throws {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        node.closeGate()
        async let made = lifecycle.initialise(SwarmInitRequest())
        try await eventually("nobody founds a swarm") { node.isSomebodyWaiting }
        #expect(node.membership.standing.isChanging)
        await #expect(throws: MembershipError.changing) { try await lifecycle.join(joinRequest) }
        await #expect(throws: MembershipError.changing) { try await lifecycle.leave(force: true) }
        node.openGate()
        #expect(try await made == NodeID("manager1"))
        #expect(!node.membership.standing.isChanging)
    }
}

@Suite("What a start finds", .timeLimit(.minutes(5)))
struct StartTests {
    /// A node that was made a manager and stopped.
    private func manager() async throws -> MemoryNode {
        let node = try MemoryNode()
        let lifecycle = node.lifecycle()
        _ = try await lifecycle.initialise(SwarmInitRequest())
        await lifecycle.stop()
        node.clearLog()
        return node
    }

    private func move(_ name: String, to other: String, of node: MemoryNode) throws {
        try FileManager.default.moveItem(atPath: "\(node.path)/\(name)", toPath: "\(node.path)/\(other)")
    }

    @Test(
        "with a file lost, names and interfaces go on with what was known, and all is well once it is restored",
        arguments: ["node.pem", "seal.json"])
    func lostFile(_ name: String) async throws {
        let node = try await manager()
        try move(name, to: "kept", of: node)
        let lifecycle = node.lifecycle()
        await lifecycle.start()
        #expect(node.membership.standing.failure?.contains("\(node.path)/\(name)") == true)
        #expect(node.membership.standing.failure?.contains("it is missing") == true)
        let alone = try node.membership.required
        #expect(alone.participation == nil && alone.node == NodeID("manager1"))
        await #expect(throws: MembershipError.alreadyInSwarm) { try await lifecycle.initialise(SwarmInitRequest()) }

        try move("kept", to: name, of: node)
        try await eventually("it does not recover") { node.membership.standing.failure == nil }
        #expect(try node.membership.required.isManaging)
        // What it answered inside containers ended before the new one began.
        #expect(node.log.suffix(5) == ["prepare", "close doors", "end", "begin", "follow"])
        await lifecycle.stop()
    }

    @Test("without a membership but with a certificate it takes no part, and is given up by force only")
    func lostMembership() async throws {
        let node = try await manager()
        try FileManager.default.removeItem(atPath: "\(node.path)/membership.json")
        let lifecycle = node.lifecycle()
        await lifecycle.start()
        let failure = try #require(node.membership.standing.failure)
        #expect(failure.contains("membership.json cannot be read (it is missing, and a certificate is there)"))
        #expect(throws: NotInSwarm(reason: failure)) { try node.membership.required }
        await #expect(throws: MembershipError.cannotTakePart(reason: failure)) { try await lifecycle.leave(force: false) }
        try await lifecycle.leave(force: true)
        #expect(try node.files == ["containers"])
        #expect(node.membership.standing.failure == nil)
        await lifecycle.stop()
    }

    @Test("with something in the way of taking part it goes on alone, and tries again")
    func triesAgain() async throws {
        let node = try await manager()
        node.setBroken(["prepare"])
        let lifecycle = node.lifecycle()
        await lifecycle.start()
        #expect(node.membership.standing.failure?.contains("prepare") == true)
        #expect(node.membership.member?.participation == nil)
        node.setBroken([])
        try await eventually("it does not recover") { node.membership.standing.failure == nil }
        #expect(try node.membership.required.isManaging)
        await lifecycle.stop()
    }

    @Test("a membership of the first version learns its node from the certificate")
    func firstVersion() async throws {
        let node = try await manager()
        let directory = StateDirectory(node.path)
        var saved = try #require(try directory.loadMembership())
        saved.node = nil
        try directory.save(saved)
        let lifecycle = node.lifecycle()
        await lifecycle.start()
        #expect(try directory.loadMembership()?.node == NodeID("manager1"))
        #expect(node.membership.member?.isManaging == true)
        await lifecycle.stop()
    }
}

@Suite("A locked manager", .timeLimit(.minutes(5)))
struct UnlockTests {
    private let unlockKey: Secret

    init() {
        var generator = SystemRandomNumberGenerator()
        unlockKey = UnlockKey.random(using: &generator)
    }

    /// A manager that was stopped with its data key locked, and started.
    private func locked() async throws -> (MemoryNode, NodeLifecycle<MemoryNode, MemoryNode>) {
        let node = try MemoryNode()
        let first = node.lifecycle()
        _ = try await first.initialise(SwarmInitRequest())
        await first.stop()
        let file = SealFile(directory: node.path)
        guard case .open(let key)? = try file.load() else { throw CancellationError() }
        try file.save(key, lockedBy: unlockKey)
        node.clearLog()
        let second = node.lifecycle()
        await second.start()
        return (node, second)
    }

    @Test("takes no part until it is given the unlock key, and is whole then")
    func unlock() async throws {
        let (node, lifecycle) = try await locked()
        #expect(node.membership.standing.isLocked && node.membership.standing.failure == nil)
        #expect(node.log == ["begin alone", "follow"])
        await #expect(throws: MembershipError.noUnlockKey) { try await lifecycle.unlock(with: Secret("SWMKEY-1-nonsense")) }
        var generator = SystemRandomNumberGenerator()
        let other = UnlockKey.random(using: &generator)
        await #expect(throws: MembershipError.wrongUnlockKey) { try await lifecycle.unlock(with: other) }
        #expect(node.membership.standing.isLocked && node.log == ["begin alone", "follow"])

        try await lifecycle.unlock(with: unlockKey)
        #expect(!node.membership.standing.isLocked)
        #expect(try node.membership.required.isManaging)
        #expect(node.log.dropFirst(2) == ["prepare", "close doors", "end", "begin", "follow"])
        await #expect(throws: MembershipError.notLocked) { try await lifecycle.unlock(with: unlockKey) }
        await lifecycle.stop()
    }

    @Test("stays what it is when it cannot be made whole", arguments: ["prepare", "begin"])
    func failedUnlock(_ step: String) async throws {
        let (node, lifecycle) = try await locked()
        node.setBroken([step])
        await #expect(throws: MemoryNode.Broken(step: step)) { try await lifecycle.unlock(with: unlockKey) }
        #expect(node.membership.standing.isLocked)
        #expect(try node.membership.required.participation == nil)
        node.setBroken([])
        try await lifecycle.unlock(with: unlockKey)
        #expect(try node.membership.required.isManaging)
        await lifecycle.stop()
    }

    @Test("leaves by force only")
    func leave() async throws {
        let (node, lifecycle) = try await locked()
        await #expect(throws: MembershipError.locked) { try await lifecycle.leave(force: false) }
        try await lifecycle.leave(force: true)
        #expect(!node.membership.standing.isLocked)
        #expect(try node.files == ["containers"])
        await lifecycle.stop()
    }
}
