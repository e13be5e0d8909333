import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("Taking an input back")
struct RollBackTests {
    /// Does everything twice to one machine, taking the first time back, and once to another.
    private struct Pair {
        var once: ControlMachine
        var twice: ControlMachine
        var random = Swarm.Steps()
        var now: Instant
        var commits = 0

        mutating func feed(_ input: ControlInput) {
            var (first, second) = (random, random)
            let checkpoint = twice.checkpoint
            let before = twice.revision
            let discarded = twice.handle(input, now: now, random: &first)
            twice.rollBack(to: checkpoint)
            #expect(twice.revision == before)
            let again = twice.handle(input, now: now, random: &second)
            let plain = once.handle(input, now: now, random: &random)
            #expect(discarded == plain)
            #expect(again == plain, "after \(input)")
            if case .commit? = plain.first { commits += 1 }
            #expect(once.nodes == twice.nodes && once.networks == twice.networks)
            #expect(once.endpoints == twice.endpoints && once.leases == twice.leases)
        }
    }

    @Test("It leaves nothing behind", arguments: 0..<8 as Range<UInt64>)
    func leavesNothing(seed: UInt64) throws {
        let swarm = try Swarm()
        var pair = Pair(once: swarm.machine, twice: swarm.machine, now: swarm.now)
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
                if let network = pair.once.networks.randomElement(using: &random), step % 20 == 0 {
                    pair.feed(.command(CommandID(number), .removeNetwork(network.id.rawValue)))
                }
            case 6:
                let subnet = pair.once.networks.flatMap(\.subnets).randomElement(using: &random)
                if let subnet { pair.feed(.nodeMessage(node, session, .leaseRequest(number, subnet, address: nil))) }
            case 7:
                let ids = pair.once.leases.filter { $0.node == node }.map(\.id).prefix(1)
                if step % 9 == 0 { pair.feed(.nodeMessage(node, session, .leasesReturned(Array(ids)))) }
            case 8:
                pair.now = pair.now + .seconds(Int64.random(in: 1...12, using: &random))
                pair.feed(.tick)
            case 9: if step % 7 == 0 { pair.feed(.nodeDisconnected(node, session)) }
            default:
                guard let lease = pair.once.leases.filter({ $0.node == node }).randomElement(using: &random),
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
        var pair = Pair(once: swarm.machine, twice: swarm.machine, now: swarm.now)
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
