import Testing
import WeftLinux
import WeftNet

/// Routes of the underlay change while packets pass: the drawing is in BPFTopology.swift.
@Suite(.enabled(if: mayLoadPrograms, "needs root: makes namespaces and loads BPF programs"), .timeLimit(.minutes(2)))
struct BPFNextHopTests {
    /// With forwarding, as weftd sets a host up, next hops are kept for a tick of the clock; without it the kernel finds each.
    @Test("Packets follow the route to their peer through its changes", arguments: ["1", "0"])
    func changedRoute(forwarding: String) throws {
        try BPFTopology.with { net in
            let host = net.a.namespace
            try shell(host, "sysctl -qw net.ipv4.ip_forward=\(forwarding)")
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            _ = try net.addSandbox(on: net.b, "10.77.0.21")
            // Two gateways by which the peer is reached: it is the first itself, and nobody has the other's MAC address.
            let mac = "02:77:00:00:00:02"
            try shell(net.b.namespace, "ip link set under address \(mac)")
            try shell(host, "ip neighbor replace 172.31.0.101 lladdr \(mac) dev under nud permanent")
            try shell(host, "ip neighbor replace 172.31.0.102 lladdr 02:77:00:00:00:66 dev under nud permanent")
            func expectPings(_ arrive: Bool, _ change: String) throws {
                try shell(host, "ip \(change)")
                func isSo() throws -> Bool { try arrive ? a1.pings("10.77.0.21") : a1.hearsNothing(from: "10.77.0.21") }
                try #require(try eventually(isSo), "\(change)")
            }

            try expectPings(true, "route get 172.31.0.2")
            try expectPings(false, "route replace 172.31.0.2/32 via 172.31.0.102")
            try expectPings(true, "route replace 172.31.0.2/32 via 172.31.0.101")
            // The gateway gets another card, and its own again.
            try expectPings(false, "neighbor replace 172.31.0.101 lladdr 02:77:00:00:00:67 dev under nud permanent")
            try expectPings(true, "neighbor replace 172.31.0.101 lladdr \(mac) dev under nud permanent")
            try expectPings(false, "route replace 172.31.0.2/32 via 172.31.0.102")
            try expectPings(true, "route delete 172.31.0.2/32")
            // A class of service with a way of its own.
            try shell(host, "ip rule add tos 0x10 lookup 7701 priority 50")
            try shell(host, "ip route add 172.31.0.2/32 via 172.31.0.102 dev under table 7701")
            #expect(try a1.pings("10.77.0.21"))
            #expect(try a1.hearsNothing(from: "10.77.0.21", options: "-Q 0x10"))
            #expect(try a1.pings("10.77.0.21"))
        }
    }
}
