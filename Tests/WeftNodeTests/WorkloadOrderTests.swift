import Testing
import WeftModel
import WeftNet

@testable import WeftNode

@Suite("The life of what is attached, in any order")
struct WorkloadOrderTests {
    @Test(
        "Whatever comes in whatever order, no endpoint leaks, no record is lost, no reply is forgotten",
        arguments: 0..<300)
    func anyOrder(seed: UInt64) {
        var random = SplitMix(state: seed)
        var world = WorkloadWorld()
        world.feed(.membership([]))
        var asked: Set<RequestID> = []
        let failures = UInt64.random(in: 0...30, using: &random)
        for _ in 0..<200 {
            if !world.steps.isEmpty, Bool.random(using: &random) {
                let index = Int.random(in: 0..<world.steps.count, using: &random)
                world.finish(index, failing: UInt64.random(in: 0..<100, using: &random) < failures)
            } else {
                let id = world.newRequest()
                if draw(id, &world, &random) { asked.insert(id) }
            }
            world.now = world.now + .milliseconds(Int.random(in: 0...3000, using: &random))
            check(world, seed)
        }
        world.settle()
        world.feed(.tick)
        world.settle()
        check(world, seed)
        #expect(world.wrongs == [], "seed \(seed)")
        #expect(
            Set(world.replies.keys) == asked,
            "seed \(seed): \(asked.subtracting(world.replies.keys).count) replies are missing")
        #expect(world.machine.isIdle)
        let held = world.machine.workloads.flatMap { world.machine.endpoints(of: $0.id).values.map(\.id) }
        #expect(Set(held) == Set(world.endpoints.keys), "seed \(seed): endpoints leak, or are not there")
        #expect(
            Set(world.records.values) == Set(world.machine.workloads),
            "seed \(seed): records are not what is there")
        for (id, told) in world.told {
            #expect(
                Set(told) == Set(world.machine.endpoints(of: id).values.map(\.id)),
                "seed \(seed): \(id) was not told")
        }
        removeAll(&world, seed)
    }

    private func check(_ world: WorkloadWorld, _ seed: UInt64) {
        let known = Set(world.machine.workloads.map(\.id))
        for id in world.records.keys where !known.contains(id) {
            Issue.record("seed \(seed): the record of \(id) is nobody's")
        }
    }

    /// Everything can be taken away from any state.
    private func removeAll(_ world: inout WorkloadWorld, _ seed: UInt64) {
        for workload in world.machine.workloads {
            world.feed(.remove(world.newRequest(), workload.id, force: true))
        }
        world.settle()
        #expect(
            world.endpoints.isEmpty && world.records.isEmpty && world.places.isEmpty
                && world.machine.workloads.isEmpty, "seed \(seed)")
    }

    /// Draws an input; true if it is a request.
    private func draw(_ id: RequestID, _ world: inout WorkloadWorld, _ random: inout SplitMix) -> Bool {
        let name = "w\(Int.random(in: 0..<4, using: &random))"
        let (workload, network) = (WorkloadID(name), "n\(Int.random(in: 0..<3, using: &random))")
        let interface = spec(network, "eth\(Int.random(in: 0..<3, using: &random))")
        switch Int.random(in: 0..<20, using: &random) {
        case 0...2:
            let kind = Int.random(in: 0..<2, using: &random)
            var new =
                kind == 0
                ? sandbox(name, "n1", "n2")
                : container(name, "n1", "n2", restarts: Bool.random(using: &random))
            new.removesItself = kind == 0 && Bool.random(using: &random)
            world.feed(.prepare(id, new))
        case 3...5: world.feed(.attach(id, world.machine.workload(workload) ?? runtime(name), interface))
        case 6: world.feed(.detach(id, workload, interface: interface.interface))
        case 7, 8: world.feed(.raise(id, workload))
        case 9: world.feed(.start(id, workload))
        case 10: world.feed(.shutDown(id, workload, grace: .seconds(Int.random(in: 0...9, using: &random))))
        case 11: world.feed(.remove(id, workload, force: Bool.random(using: &random)))
        case 12: world.feed(.settle(id, workload))
        case 13: world.feed(.identify(id, workload, sandbox: SandboxID(name), name: "\(name)x"))
        default:
            notice(workload, &world, &random)
            return false
        }
        return true
    }

    private func notice(_ workload: WorkloadID, _ world: inout WorkloadWorld, _ random: inout SplitMix) {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: world.feed(.lower(workload))
        case 1: world.feed(.observed(workload, .running))
        case 2: world.feed(.observed(workload, .stopped(isFinal: Bool.random(using: &random))))
        case 3: world.feed(.observed(workload, .over))
        case 4 where world.machine.workload(workload)?.kind != .prepared:
            world.feed(.observed(workload, .ended))
        case 5 where world.machine.workload(workload)?.kind == .prepared:
            world.feed(.observed(workload, .gone))
        case 6:
            guard let lost = world.endpoints.keys.sorted().first else { return }
            world.endpoints[lost] = nil
            world.feed(.lost([lost]))
        case 7 where Int.random(in: 0..<4, using: &random) == 0:
            world.isMember.toggle()
            world.endpoints = [:]
            world.feed(.membership(world.isMember ? [] : nil))
        default: world.feed(.tick)
        }
    }
}
