import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftLinux
import WeftNet

/// IPv6 inside the overlay, in real namespaces: the drawing is in BPFTopology.swift.
@Suite(.enabled(if: mayLoadPrograms, "needs root: makes namespaces and loads BPF programs"), .timeLimit(.minutes(5)))
struct BPFOverlay6Tests {
    @Test("Sandboxes on one host and on two, and the gateway, are reached by IPv6 beside IPv4")
    func reach() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11", ipv6: "fd77::11")
            _ = try net.addSandbox(on: net.a, "10.77.0.12", ipv6: "fd77::12")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21", ipv6: "fd77::21")
            #expect(try a1.pings("fd77::12", count: 3))
            #expect(try a1.pings("fd77::21", count: 3))
            #expect(try b1.pings("fd77::12", count: 3))
            #expect(try a1.pings("fd77::1", count: 3))
            #expect(try a1.pings("10.77.0.21", count: 3))
            // Fragments have an extension header before the transport's.
            #expect(try a1.pings("fd77::21", options: "-s 4000"))
            #expect(try a1.pings("fd77::1", options: "-s 4000"))
            #expect(try a1.pings("fd77::21", options: "-s 1402 -M do"))
            // What the kernel says of itself when an interface comes up, and looks for, is no drop.
            let counters = try net.a.counters(a1.interface)
            #expect(counters.dropped.isEmpty, "\(counters)")
            #expect(counters.receivedPackets >= 10)
            #expect(try net.a.counters().dropped.isEmpty)
        }
    }

    @Test("Duplicate address detection passes for one's own address, and fails for another's")
    func duplicateAddressDetection() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11", ipv6: "fd77::11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21", ipv6: "fd77::21")
            #expect(try detects(own: "fd77::11", asking: "fd77::11", in: a1) == false)
            #expect(try a1.pings("fd77::1"))
            #expect(try detects(own: "fd77::21", asking: "fd77::11", in: b1) == true)
        }
    }

    /// Whether the kernel of a sandbox that takes `address` in place of its own finds it to be a duplicate; nil when it
    /// comes to no end.
    private func detects(own: String, asking address: String, in sandbox: BPFSandbox) throws -> Bool? {
        try shell(sandbox.namespace, "ip address del \(own)/64 dev eth0")
        try shell(sandbox.namespace, "ip address add \(address)/64 dev eth0")
        var isDuplicate: Bool?
        _ = try eventually {
            let text = try shell(sandbox.namespace, "ip -o address show dev eth0 to \(address)").output
            try #require(text.contains("\(address)/64"))
            if text.contains("dadfailed") { isDuplicate = true } else if !text.contains("tentative") { isDuplicate = false }
            return isDuplicate != nil
        }
        return isDuplicate
    }

    @Test("TCP over IPv6 passes both ways in big segments and without loss", arguments: [true, false])
    func tcp(offloads: Bool) throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11", ipv6: "fd77::11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21", ipv6: "fd77::21")
            if !offloads {
                for host in [net.a, net.b] {
                    try shell(host.namespace, "ethtool -K under tso off gso off gro on tx-udp_tnl-segmentation off")
                }
            }
            for (receiver, isReverse) in [(b1, false), (a1, true)] {
                let before = try received(receiver)
                let report = try transfer(from: a1, to: b1, at: "fd77::21", isReverse: isReverse)
                let after = try received(receiver)
                #expect(report.bytes >= 190_000_000)
                #expect(report.retransmits < 10_000)
                // Cut to frames on the way they would be 1464 bytes long.
                if offloads { #expect((after.bytes - before.bytes) / (after.packets - before.packets) > 3000) }
            }
        }
    }

    /// What eth0 of the sandbox has received; a packet that GSO will cut later counts as one.
    private func received(_ sandbox: BPFSandbox) throws -> (bytes: Int, packets: Int) {
        let lines = try shell(sandbox.namespace, "cat /proc/net/dev").output.split(separator: "\n")
        let line = try #require(lines.first { $0.contains("eth0:") })
        let fields = line.split(separator: ":")[1].split(separator: " ").compactMap { Int($0) }
        return (fields[0], fields[1])
    }

    @Test("A spoofed IPv6 source address is dropped and counted at the endpoint")
    func spoofing() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11", ipv6: "fd77::11")
            _ = try net.addSandbox(on: net.b, "10.77.0.21", ipv6: "fd77::21")
            #expect(try a1.pings("fd77::21"))
            try shell(a1.namespace, "ip address add fd77::13/128 dev eth0 nodad")
            #expect(try a1.hearsNothing(from: "fd77::21", options: "-I fd77::13"))
            #expect(try net.a.drops(.spoofedAddress, a1.interface) > 0)
            try shell(a1.namespace, "ip link set eth0 address 02:42:0a:4d:00:0c")
            #expect(try a1.hearsNothing(from: "fd77::21"))
            #expect(try net.a.drops(.spoofedMAC, a1.interface) > 0)
        }
    }

    @Test("Networks of the same addresses do not see each other, and nothing of IPv6 leaves the overlay")
    func apart() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11", ipv6: "fd77::11")
            _ = try net.addSandbox(
                on: net.b, "10.78.0.21", vni: 4097, subnet: "10.78.0.0/24", gateway: "10.78.0.1", ipv6: "fd77::21")
            #expect(try a1.hearsNothing(from: "fd77::21"))
            #expect(try net.a.drops(.noEndpoint, a1.interface) > 0)
            try shell(net.a.namespace, "ip address add 2001:db8::1/64 dev under nodad")
            try shell(a1.namespace, "ip route add default via fd77::1")
            #expect(try a1.hearsNothing(from: "2001:db8::1"))
            #expect(try net.a.drops(.noIPv6Exit, a1.interface) > 0)
        }
    }

    /// As for IPv4 in BPFOverlayTests.
    @Test("Outer packets with a checksum, and in fragments, arrive by way of the vxlan device", arguments: [60, 1400, 3000])
    func throughTheStack(length: Int) throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11", ipv6: "fd77::11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21", ipv6: "fd77::21")
            func send(inner source: String) throws {
                let inner = BPFPacket.ipv6(
                    source, "fd77::21", BPFPacket.udp(to: 9, Array(repeating: 3, count: length - 48)))
                try sendDatagram(
                    in: net.a.namespace, to: "172.31.0.2", port: 4789,
                    BPFPacket.vxlan(
                        4096, BPFPacket.ethernet(a1.endpoint.mac.description, "00:00:00:00:00:00", type: 0x86dd, inner)))
            }
            let before = try net.b.counters(b1.interface).receivedBytes
            try send(inner: "fd77::11")
            #expect(try eventually { try net.b.counters(b1.interface).receivedBytes == before + UInt64(14 + length) })
            try send(inner: "fd77::12")
            #expect(try eventually { try net.b.drops(.forgedSource) == 1 })
        }
    }
}
