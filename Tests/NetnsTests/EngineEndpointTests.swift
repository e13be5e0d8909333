import Glibc
import Testing
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

@Suite(.serialized, .enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(5)))
struct EngineEndpointTests {
    @Test("an engine moves, renames and addresses the far end, and that is no drift")
    func engine() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        let (a, b) = (try topology.namespace("a"), try topology.namespace("b"))
        var swarm = TestSwarm()
        let net = try swarm.network("net", "10.77.9.0/24", vni: 4105, subnet6: "fd77:9::/64")
        try swarm.endpoint("a", on: 0, net, number: 2, in: a)
        try swarm.endpoint("b", on: 1, net, number: 3, in: b)
        let endpoint = try #require(swarm.endpoints.first)
        let node = swarm.nodes[0]
        swarm.attachments[node] = [SandboxAttachment(engine: endpoint, isNew: true)]
        let (first, second) = (try topology.datapath("h1"), try topology.datapath("h2"))
        try converge(first, swarm.desired(0))
        try converge(second, swarm.desired(1))

        let name = engineInterfaceName(endpoint.id)
        #expect(try run(in: host, "ip -o link show dev \(name)").contains("02:42:0a:4d:09:02"))
        let target = try #require(a.path?.split(separator: "/").last)
        try run(in: host, "ip link set \(name) netns \(target)")
        try run(in: a, "ip link set \(name) name eth0; ip addr add 10.77.9.2/24 dev eth0; ip link set eth0 up")
        try run(in: a, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip addr add fd77:9::2/64 dev eth0 nodad")
        #expect(answers("10.77.9.3", from: a))
        #expect(answers("fd77:9::3", from: a))

        // A later weftd finds it as it should be, and makes nothing anew when the container's namespace takes it along.
        swarm.attachments[node] = [SandboxAttachment(engine: endpoint, isNew: false)]
        let desired = swarm.desired(0)
        #expect(difference(desired: desired, observed: try first.observe(for: desired.host)).isEmpty)
        try run(in: a, "ip link del eth0")
        try converge(first, desired)
        let links = try run(in: host, "ip -o link")
        #expect(!links.contains(": wv") && !links.contains(": wc"), "\(links)")
    }

    @Test("a task's container gets the rules of its answers from whichever weftd hears of it, before that has looked at the kernel")
    func rules() throws {
        let topology = try KernelTopology()
        let (host, _) = try topology.twoHosts()
        let a = try topology.namespace("a")
        var swarm = TestSwarm()
        let ingress = try swarm.network("ingress", "10.77.9.0/24", vni: 4105, isIngress: true)
        let task = ServingTask(service: ServiceID("web"), task: TaskID("web-1"), slot: 1, rotation: .serving)
        try swarm.endpoint("a", on: 0, ingress, number: 2, in: a, task: task)
        let endpoint = try #require(swarm.endpoints.first)
        swarm.attachments[swarm.nodes[0]] = [SandboxAttachment(engine: endpoint, isNew: true)]
        var port = PortConfig(target: 81)
        (port.published, port.transport) = (8081, .udp)
        try swarm.service("web", ingress, number: 100, ports: [port])
        var datapath = try topology.datapath("h1")
        try converge(datapath, swarm.desired(0))
        let (name, target) = (engineInterfaceName(endpoint.id), try #require(a.path?.split(separator: "/").last))
        try run(in: host, "ip link set \(name) netns \(target)")
        try run(in: a, "ip link set \(name) name eth0; ip addr add 10.77.9.2/24 dev eth0; ip link set eth0 up")
        func hasRules() throws -> Bool {
            let rules = try run(in: a, "ip rule")
            return rules.contains("from 10.77.9.2 lookup 7701") && rules.contains("sport 81 lookup 7701")
                && rules.contains("sport 81 lookup main suppress_prefixlength 0")
        }
        try datapath.note(endpoint.id, isIn: a)
        #expect(try eventually(hasRules))
        try run(in: a, "for p in 7700 7701 7702; do ip rule del priority $p; done")
        #expect(try !hasRules())
        datapath = try topology.datapath("h1")
        try datapath.note(endpoint.id, isIn: a)
        #expect(try eventually(hasRules))
    }
}
