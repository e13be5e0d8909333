import Testing
import WeftControl
import WeftModel

@Suite("A fresh manager's first look at many tasks")
struct FirstLookTests {
    /// Services with 1,500 tasks together, and a manager that begins anew.
    private func fresh() throws -> (swarm: Swarm, services: [ServiceID]) {
        var swarm = try Swarm.withWorkers(4)
        let services = try (0..<15).map { try swarm.serve("s\($0)", .replicated(100)).id }
        swarm.restart()
        return (swarm, services)
    }

    private func proceed(_ swarm: inout Swarm) -> [ControlAction] {
        swarm.core.proceed(now: swarm.now, wallClock: swarm.now, roundsMax: 1, random: &swarm.random)
    }

    @Test("takes many rounds, between which others are heard")
    func rounds() throws {
        var (swarm, _) = try fresh()
        swarm.core.enqueue(.tick)
        var rounds = 0
        var answered: Int?
        while swarm.core.hasMore, rounds < 100 {
            for action in proceed(&swarm) {
                switch action {
                case .propose:
                    let revision = Version(swarm.replica.revision.index + 1)
                    for said in swarm.core.resolve(.committed(revision), now: swarm.now, wallClock: swarm.now) {
                        if case .reply = said { answered = rounds }
                    }
                case .reply: answered = rounds
                default: break
                }
            }
            rounds += 1
            if rounds == 1 { swarm.core.enqueue(.command(CommandID(77), .createNetwork(NetworkSpec(name: "my_net")))) }
        }
        #expect(rounds >= 3 && rounds < 100)
        // In the round after it came.
        #expect(answered == 1)
    }

    @Test("reaches every service, whatever changes meanwhile")
    func fairness() throws {
        var (swarm, services) = try fresh()
        let last = try #require(services.max())
        let first = services.sorted().prefix(5)
        // What is wanted more is seen at its turn alone, as nobody said so of the service.
        let lost = try #require(swarm.wanted(last).first)
        swarm.another([.delete(lost.key, expecting: nil)])
        var command: UInt64 = 100
        for _ in 0..<6 {
            // The first ones concern the manager in each round.
            for id in first {
                guard let service = swarm.replica[Service.self, id] else { continue }
                var spec = service.spec
                spec.task.forceUpdate += 1
                command += 1
                swarm.core.enqueue(.command(CommandID(command), .updateService(id, version: service.version, spec)))
            }
            for action in proceed(&swarm) {
                guard case .propose = action else { continue }
                swarm.resolve(.committed(Version(swarm.replica.revision.index + 1)))
            }
        }
        #expect(swarm.wanted(last).count == 100)
    }
}
