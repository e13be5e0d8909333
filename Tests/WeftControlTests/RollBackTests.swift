import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("A proposal that does not go through")
struct RollBackTests {
    /// Does everything to two cores. One of them hears of each proposal that another manager was faster, and works it out
    /// anew; both must come to the same.
    private struct Pair {
        var once: ManagerCore
        var twice: ManagerCore
        var random = Swarm.Steps()
        var now: Instant
        var commits = 0

        mutating func feed(_ input: ControlInput) {
            var (first, second) = (random, random)
            once.enqueue(input)
            twice.enqueue(input)
            let before = twice.replica.revision
            let discarded = twice.proceed(now: now, wallClock: now, random: &first)
            if case .propose? = discarded.last {
                let said = twice.resolve(.outdated(newest: before), now: now, wallClock: now)
                #expect(said.isEmpty && twice.replica.revision == before)
            }
            let plain = once.proceed(now: now, wallClock: now, random: &random)
            #expect(discarded == plain)
            guard case .propose? = plain.last else { return }
            let again = twice.proceed(now: now, wallClock: now, random: &second)
            #expect(again == plain, "after \(input)")
            commits += 1
            let outcome = CommitOutcome.committed(Version(before.index + 1))
            let said = once.resolve(outcome, now: now, wallClock: now)
            let saidAsWell = twice.resolve(outcome, now: now, wallClock: now)
            #expect(said == saidAsWell)
            #expect(once.replica.nodes == twice.replica.nodes && once.replica.networks == twice.replica.networks)
            #expect(once.replica.endpoints == twice.replica.endpoints && once.replica.leases == twice.replica.leases)
        }
    }

    @Test("Another manager was faster: nothing is left of the first time", arguments: 0..<8 as Range<UInt64>)
    func leavesNothing(seed: UInt64) throws {
        let swarm = try Swarm()
        var pair = Pair(once: swarm.core, twice: swarm.core, now: swarm.now)
        pair.random.state = seed &* 77 &+ 5
        var random = Swarm.Steps(state: seed &+ 3)
        let nodes = [Swarm.first, NodeID("w1"), NodeID("w2")]
        var (number, made): (UInt64, [Endpoint]) = (0, [])
        for step in 0..<400 {
            number += 1
            let index = Int.random(in: 0..<nodes.count, using: &random)
            let (node, session) = (nodes[index], SessionID(UInt64(index + 1)))
            switch step < 3 ? step : Int.random(in: 0..<14, using: &random) {
            case 0: pair.feed(.command(CommandID(number), .admitNode(NodeID("w1"), .worker, .active)))
            case 1: pair.feed(.command(CommandID(number), .admitNode(NodeID("w2"), .worker, .active)))
            case 2:
                var spec = NetworkSpec(name: "n\(Int.random(in: 0..<4, using: &random))")
                spec.attachable = true
                if number % 2 == 0 { spec.ipam6 = IPAMConfig() }
                pair.feed(.command(CommandID(number), .createNetwork(spec)))
            case 3, 4:
                pair.feed(.nodeConnected(node, session, address: nil))
                let hello = NodeMessage.hello(
                    Swarm.description("h\(index)"), dataPathAddress: try address("172.30.0.\(index + 1)"),
                    appliedRevision: .none, endpoints: made.filter { $0.node == node })
                pair.feed(.nodeMessage(node, session, hello))
            case 5:
                if let network = pair.once.replica.networks.randomElement(using: &random), step % 20 == 0 {
                    pair.feed(.command(CommandID(number), .removeNetwork(network.id.rawValue)))
                }
            case 6:
                let subnet = pair.once.replica.networks.flatMap(\.subnets).randomElement(using: &random)
                if let subnet { pair.feed(.nodeMessage(node, session, .leaseRequest(number, subnet, address: nil))) }
            case 7:
                let ids = pair.once.replica.leases.filter { $0.node == node }.map(\.id).prefix(1)
                if step % 9 == 0 { pair.feed(.nodeMessage(node, session, .leasesReturned(Array(ids)))) }
            case 8:
                pair.now = pair.now + .seconds(Int64.random(in: 1...12, using: &random))
                pair.feed(.tick)
            case 9: if step % 7 == 0 { pair.feed(.nodeDisconnected(node, session)) }
            default:
                guard let lease = pair.once.replica.leases.filter({ $0.node == node }).randomElement(using: &random),
                    let ipv4 = lease.block.network.v4?.advanced(by: UInt32.random(in: 0..<6, using: &random))
                else { continue }
                let endpoint = Endpoint(
                    id: EndpointID("e\(Int.random(in: 0..<30, using: &random))"), network: lease.network, node: node,
                    sandbox: SandboxID("s"), ipv4: ipv4, mac: MACAddress(forIPv4: ipv4), name: "c\(step)")
                let removed = made.filter { $0.node == node }.prefix(1).map(\.id)
                made.removeAll { removed.contains($0.id) || $0.id == endpoint.id }
                made.append(endpoint)
                pair.feed(.nodeMessage(node, session, .endpointsChanged(added: [endpoint], removed: removed)))
            }
        }
        #expect(pair.commits > 50)
    }

    @Test("It holds when the log of commits is full")
    func fullLog() throws {
        let swarm = try Swarm()
        var pair = Pair(once: swarm.core, twice: swarm.core, now: swarm.now)
        for number in 1...1030 as ClosedRange<UInt64> {
            pair.feed(.command(CommandID(number), .rotateToken(.worker)))
        }
        #expect(pair.commits == 1030)
        // Who was told what the log no longer has gets everything, who is newer gets a delta.
        for applied in [1, 2, 7, 8, 1030] as [Int64] {
            let session = SessionID(UInt64(applied))
            pair.feed(.nodeConnected(Swarm.first, session, address: nil))
            let hello = NodeMessage.hello(
                Swarm.description("h1"), dataPathAddress: try address("172.30.0.1"), appliedRevision: Version(applied),
                endpoints: [])
            pair.feed(.nodeMessage(Swarm.first, session, hello))
        }
    }
}
