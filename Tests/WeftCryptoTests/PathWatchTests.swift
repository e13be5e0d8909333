import Testing
import WeftCrypto
import WeftModel

@Suite("Paths between tunnels are tried at their full length")
struct PathWatchTests {
    private static let peer = NodeID("peer")

    /// A path, and the watch that has it.
    private struct World {
        var watch = PathWatch()
        var now = Duration.seconds(1000)
        /// The longest packet that gets there and back.
        var reach: UInt16 = .max
        var answered: UInt64 = 0
        var heard: UInt64 = 0
        var asked: [PathWatch.Question] = []

        /// A second goes by; answers come before the next questions.
        mutating func live(_ seconds: Int, hearing: Bool = false) {
            for _ in 0..<seconds {
                now += .seconds(1)
                if hearing { heard += 1 }
                watch.learn(.init(answered: answered, roundTrip: .milliseconds(3), heard: heard), of: peer, now: now)
                let questions = watch.questions([peer: 1408], now: now)
                asked += questions
                for question in questions where question.length <= reach { answered = max(answered, question.number) }
            }
        }

        var fault: PathFault? { watch.fault(peer, now: now) }
    }

    @Test("A path is ready with its first answer, and is asked seldom then")
    func ready() {
        var world = World()
        world.live(1)
        #expect(!world.watch.isReady(Self.peer) && world.watch.roundTrip(Self.peer) == nil)
        world.live(1)
        #expect(world.watch.isReady(Self.peer) && world.watch.roundTrip(Self.peer) == .milliseconds(3))
        world.live(100)
        #expect(world.fault == nil && (10...12).contains(world.asked.count))
        #expect(world.asked.allSatisfy { $0.length == 1408 })
        #expect(zip(world.asked, world.asked.dropFirst()).allSatisfy { $0.number < $1.number })
    }

    @Test("What is wrong with a path is said within seconds, and is over with the next answer", arguments: [false, true])
    func lost(hearing: Bool) {
        var world = World()
        world.live(30, hearing: hearing)
        world.reach = 0
        world.live(15, hearing: hearing)
        #expect(!world.watch.isReady(Self.peer))
        #expect(world.fault == (hearing ? .unheard : .silent))
        #expect(world.watch.fault(Self.peer, now: world.now, missed: PathWatch.missedLong) == nil)
        world.live(20, hearing: hearing)
        #expect(world.watch.fault(Self.peer, now: world.now, missed: PathWatch.missedLong) != nil)
        let count = world.asked.count
        world.live(100, hearing: hearing)
        #expect(world.asked.count - count < 80, "who does not answer for long is asked less often")
        world.reach = .max
        world.live(8, hearing: hearing)
        #expect(world.fault == nil && world.watch.isReady(Self.peer))
    }

    @Test("A path that loses long packets alone is told from one that loses all")
    func large() {
        var world = World()
        world.reach = 1300
        world.live(6)
        #expect(world.fault == .large && !world.watch.isReady(Self.peer))
        world.live(200)
        #expect(world.fault == .large)
        world.reach = 0
        world.live(20)
        #expect(world.fault == .silent)
    }

    @Test("One lost question, or one answer that comes late, is no fault")
    func once() {
        var world = World()
        world.live(10)
        world.reach = 0
        world.live(2)
        world.reach = .max
        for _ in 0..<20 {
            world.live(1)
            #expect(world.fault == nil && world.watch.isReady(Self.peer))
        }
    }

    @Test("An answer that comes when others have been asked for counts", arguments: [2, 3, 5])
    func late(seconds: Int) {
        var (watch, now) = (PathWatch(), Duration.seconds(1000))
        var (answered, faults) = (UInt64(0), 0)
        var underway: [(at: Duration, number: UInt64)] = []
        for second in 0..<200 {
            now += .seconds(1)
            for one in underway where one.at <= now { answered = max(answered, one.number) }
            watch.learn(.init(answered: answered, roundTrip: .seconds(seconds), heard: 0), of: Self.peer, now: now)
            underway += watch.questions([Self.peer: 1408], now: now).map { (now + .seconds(seconds), $0.number) }
            if second > 10, watch.fault(Self.peer, now: now, missed: PathWatch.missedLong) != nil || !watch.isReady(Self.peer) { faults += 1 }
        }
        #expect(seconds > 3 || faults == 0)
        #expect(watch.roundTrip(Self.peer) == .seconds(seconds))
    }

    @Test("A peer that went is forgotten, and one that comes is asked at once")
    func gone() {
        var world = World()
        world.live(5)
        #expect(world.watch.questions([:], now: world.now).isEmpty && !world.watch.isReady(Self.peer))
        world.now += .seconds(1)
        let questions = world.watch.questions([Self.peer: 1408, NodeID("other"): 1372], now: world.now)
        #expect(questions.map(\.length) == [1372, 1408] && Set(questions.map(\.number)).count == 2)
        // The next weftd goes on from the clock.
        var next = PathWatch()
        world.now += .milliseconds(1)
        let later = next.questions([Self.peer: 1408], now: world.now)
        #expect(later.allSatisfy { $0.number > questions.map(\.number).max() ?? 0 })
    }
}
