import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftLinux
import WeftNet

/// Real namespaces, real TCP: the drawing is in BPFTopology.swift.
@Suite(.enabled(if: mayLoadPrograms, "needs root: makes namespaces and loads BPF programs"), .timeLimit(.minutes(5)))
struct BPFOverlayTests {
    @Test("Sandboxes on one host and on two reach each other, the gateway and the resolver")
    func reach() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            _ = try net.addSandbox(on: net.a, "10.77.0.12")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            #expect(try a1.pings("10.77.0.12", count: 3))
            #expect(try a1.pings("10.77.0.21", count: 3))
            #expect(try b1.pings("10.77.0.12", count: 3))
            #expect(try a1.pings("10.77.0.1", count: 3))
            #expect(try a1.pings("169.254.77.53", count: 3))
            // Fragments: only addresses are looked at, and the gateway turns them round one by one.
            #expect(try a1.pings("10.77.0.21", options: "-s 4000"))
            #expect(try a1.pings("10.77.0.1", options: "-s 4000"))
            // What fits an MTU of 1450 fits the underlay's 1500.
            #expect(try a1.pings("10.77.0.21", options: "-s 1422 -M do"))
            let counters = try net.a.counters(a1.interface)
            #expect(counters.dropped.keys.filter { $0 != .unsupportedProtocol }.isEmpty, "\(counters)")
            #expect(counters.receivedPackets >= 10)
        }
    }

    @Test("Nobody sees a conflict when it probes its own address, and everybody when it probes another's")
    func duplicateAddressDetection() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            _ = try net.addSandbox(on: net.b, "10.77.0.21")
            let probe = "busybox arping -D -I eth0"
            #expect(try shell(a1.namespace, "\(probe) -c 1 -w 1 10.77.0.11", allowFailure: true).status == 0)
            #expect(try shell(a1.namespace, "\(probe) -c 30 -w 30 10.77.0.21", allowFailure: true).status == 1)
        }
    }

    @Test("TCP passes between hosts in big segments and without loss", arguments: [true, false])
    func tcp(offloads: Bool) throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            if !offloads {
                // The underlay as a plain NIC: the kernel cuts wrapped segments to frames and merges them again.
                for host in [net.a, net.b] {
                    try shell(host.namespace, "ethtool -K under tso off gso off gro on tx-udp_tnl-segmentation off")
                }
            }
            let report = try transfer(from: a1, to: b1)
            #expect(report.bytes >= 190_000_000)
            // A full queue costs a few. When GSO packets do not get through, most of the 138,000 segments come again, in small pieces.
            #expect(report.retransmits < 10_000)
        }
    }

    @Test("A spoofed MAC address or source address is dropped and counted at the endpoint")
    func spoofing() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            _ = try net.addSandbox(on: net.b, "10.77.0.21")
            #expect(try a1.pings("10.77.0.21"))
            try shell(a1.namespace, "ip address add 10.77.0.13/32 dev eth0")
            #expect(try a1.hearsNothing(from: "10.77.0.21", options: "-I 10.77.0.13"))
            #expect(try net.a.drops(.spoofedAddress, a1.interface) > 0)
            #expect(try net.a.drops(.spoofedMAC, a1.interface) == 0)
            try shell(a1.namespace, "ip link set eth0 address 02:42:0a:4d:00:0c")
            #expect(try a1.hearsNothing(from: "10.77.0.21"))
            #expect(try net.a.drops(.spoofedMAC, a1.interface) > 0)
        }
    }

    @Test("A peer that is no member, and a source that is not behind the peer, are dropped and counted")
    func strangers() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            #expect(try a1.pings("10.77.0.21"))
            try net.b.programs.putForward(
                a1.forwardKey, .remote(vtep: try #require(IPv4Address("172.31.0.9")), mac: a1.endpoint.mac))
            #expect(try a1.hearsNothing(from: "10.77.0.21"))
            #expect(try net.b.drops(.forgedSource) > 0)
            try net.b.programs.removeVTEP(Membership(vni: b1.endpoint.vni, vtep: net.a.vtep))
            #expect(try a1.hearsNothing(from: "10.77.0.21"))
            #expect(try net.b.drops(.unknownVTEP) > 0)
        }
    }

    @Test("Networks are separate, and an internal one has no way out")
    func isolation() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let other = try net.addSandbox(
                on: net.b, "10.78.0.21", vni: 4097, subnet: "10.78.0.0/24", gateway: "10.78.0.1", isInternal: true)
            #expect(try a1.hearsNothing(from: "10.78.0.21"))
            #expect(try net.a.drops(.otherNetwork, a1.interface) > 0)
            #expect(try other.pings("10.78.0.1"))
            #expect(try other.hearsNothing(from: "192.0.2.1"))
            #expect(try net.b.drops(.isInternal, other.interface) > 0)
        }
    }

    /// The outer packet takes the way through host A's own stack, as one with a checksum or in fragments would come from elsewhere.
    @Test("Outer packets with a checksum, and in fragments, arrive by way of the vxlan device", arguments: [40, 1400, 3000])
    func throughTheStack(length: Int) throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            func send(inner source: String, vni: Int = 4096) throws {
                let inner = BPFPacket.ipv4(
                    source, "10.77.0.21", BPFPacket.udp(to: 9, Array(repeating: 3, count: length - 28)))
                try sendDatagram(
                    in: net.a.namespace, to: "172.31.0.2", port: 4789,
                    BPFPacket.vxlan(
                        vni, BPFPacket.ethernet(a1.endpoint.mac.description, "00:00:00:00:00:00", type: 0x0800, inner)))
            }
            try send(inner: "10.77.0.11")
            #expect(try eventually { try net.b.counters(b1.interface).receivedBytes == UInt64(14 + length) })
            try send(inner: "10.77.0.12")
            #expect(try eventually { try net.b.drops(.forgedSource) == 1 })
            try send(inner: "10.77.0.11", vni: 4097)
            #expect(try eventually { try net.b.drops(.unknownVTEP) == 1 })
        }
    }
}

/// Sends one datagram, with a UDP checksum, from a socket in a namespace.
func sendDatagram(in namespace: NetworkNamespace, to address: String, port: UInt16, _ bytes: [UInt8]) throws {
    let target = try #require(IPv4Address(address))
    let sent = try namespace.run {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        var to = sockaddr_in()
        to.sin_family = sa_family_t(AF_INET)
        to.sin_port = port.bigEndian
        to.sin_addr.s_addr = target.networkOrder
        return withUnsafeBytes(of: to) { to in
            sendto(
                descriptor, bytes, bytes.count, 0, to.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                socklen_t(to.count))
        }
    }
    try #require(sent == bytes.count)
}

/// Sends 200 MB by TCP with iperf3; `isReverse`: the server sends. `address`: instead of the server's IPv4 address.
func transfer(
    from client: BPFSandbox, to server: BPFSandbox, at address: String? = nil, isReverse: Bool = false
) throws -> (bytes: Int, retransmits: Int) {
    let listen = ["sh", "-c", "timeout 240 iperf3 -s -1 >/dev/null 2>&1 &"]
    _ = try server.namespace.run { try ChildProcess.run(listen) }
    try #require(try eventually { try shell(server.namespace, "ss -Hltn sport = :5201").output.contains("5201") })
    let target = address ?? server.endpoint.address.description
    let report = try shell(client.namespace, "iperf3 -J -n 200M -c \(target)\(isReverse ? " -R" : "")").output
    func number(_ name: String) -> Int? {
        // The last occurrence is that of the sum over the whole run.
        guard let line = report.split(separator: "\n").last(where: { $0.contains("\"\(name)\":") }) else { return nil }
        return Int(line.filter(\.isNumber))
    }
    return (try #require(number("bytes")), try #require(number("retransmits")))
}
