import Testing
import WeftControl
import WeftModel

@Suite("Services, whatever happens")
struct ServicePropertyTests {
    @Test("What is wanted comes about, nothing is there twice, and nothing is left", arguments: 1...30)
    func anything(_ seed: Int) throws {
        var world = try ServiceWorld(seed: UInt64(seed))
        for _ in 0..<120 { try world.step() }
        try world.heal()
        try world.demandConvergence()
        try world.removeEverything()
    }

    @Test("A manager that begins anew on what is stored has nothing to change", arguments: 31...40)
    func levelTriggered(_ seed: Int) throws {
        var world = try ServiceWorld(seed: UInt64(seed))
        for _ in 0..<80 { try world.step() }
        try world.heal()
        // What fails and is restarted for ever is never done.
        let settled = Set(world.services.filter { $0.spec.task.container.image != "bad" }.map(\.id))
        let before = (world.tasks, world.services)
        world.swarm.restart()
        world.swarm.feed(.tick)
        #expect(world.tasks.filter { settled.contains($0.service) } == before.0.filter { settled.contains($0.service) })
        #expect(world.services.filter { settled.contains($0.id) } == before.1.filter { settled.contains($0.id) })
    }
}
