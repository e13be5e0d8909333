import CBPF
import CDatapathABI
import Glibc
import Testing
import WeftBPF
import WeftDatapath
import WeftNet

/// What the programs do with entries of another kind of tunnel than VXLAN in the clear, and with maps of another version.
/// The entries are written past WeftBPF, which has no such kind.
@Suite(.enabled(if: mayLoadPrograms, "needs root: makes namespaces and loads BPF programs"), .timeLimit(.minutes(5)))
struct BPFTunnelTests {
    @Test("Nothing leaves in the clear that another kind of tunnel is to take, nor comes in beside it")
    func otherKind() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11", ipv6: "fd77::11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21", ipv6: "fd77::21")
            let targets = ["10.77.0.21", "fd77::21"]
            for target in targets { #expect(try a1.pings(target)) }

            let member = weft_vtep_key(vni: b1.endpoint.vni.rawValue, vtep_ipv4: net.a.vtep.networkOrder)
            try write(net.b, "weft_vtep", member, weft_vtep(tunnel: 2, mtu: 0, reserved: 0))
            for target in targets { #expect(try a1.hearsNothing(from: target)) }
            #expect(try net.b.drops(.wrongTunnel) == 2)
            // Nobody of Weft wrote that entry: it counts as missing, and is written again.
            #expect(try net.b.programs.vteps().isEmpty)
            try net.b.programs.putVTEPs([(Membership(vni: b1.endpoint.vni, vtep: net.a.vtep), MemberTunnel(mtu: nil))])
            for target in targets { #expect(try a1.pings(target)) }

            let key = weft_forward_key(vni: b1.endpoint.vni.rawValue, ipv4: b1.endpoint.address.networkOrder)
            var entry = weft_forward()
            entry.vtep_ipv4 = net.b.vtep.networkOrder
            entry.tunnel = 2
            try write(net.a, "weft_forward", key, entry)
            #expect(try a1.hearsNothing(from: "10.77.0.21"))
            #expect(try net.a.drops(.wrongTunnel, a1.interface) == 1)
            #expect(try net.a.programs.forward()[b1.forwardKey] == nil)
        }
    }

    @Test("Maps of another version are left to the programs that run until new ones are filled")
    func formerVersion() throws {
        try BPFTopology.with { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            let former = net.b.programs
            var config = weft_config()
            config.abi_version = WEFT_ABI_VERSION - 1
            config.underlay_ifindex = net.b.underlay
            config.vtep_ipv4 = net.b.vtep.networkOrder
            config.vxlan_port = 4789
            try write(net.b, "weft_config", UInt32(0), config)

            let again = try net.b.open()
            #expect(again.adoption.adopted.isEmpty)
            #expect(again.adoption.pendingInterfaces.contains(b1.interface))
            #expect(try again.endpoints().isEmpty)
            #expect(try a1.pings("10.77.0.21", count: 3))

            try again.setConfig(DatapathConfig(underlayInterface: net.b.underlay, vtep: net.b.vtep))
            try again.putEndpoint(b1.endpoint, interface: b1.interface)
            try again.putForward(try former.forward().map { ($0.key, $0.value) })
            try again.putVTEPs(try former.vteps().map { ($0, $1) })
            try again.updateLinks()
            #expect(try a1.pings("10.77.0.21", count: 3))
            #expect(try again.counters()[b1.interface].map { $0.receivedPackets > 0 } == true)
        }
    }

    /// Writes an entry of a pinned map as it is.
    private func write<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        _ host: BPFHost, _ map: String, _ key: Key, _ value: Value
    ) throws {
        let descriptor = cbpf_get_pinned("\(host.pinDirectory)/maps/\(map)")
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let result = withUnsafeBytes(of: key) { key in
            withUnsafeBytes(of: value) { cbpf_map_update(descriptor, key.baseAddress, $0.baseAddress, false) }
        }
        try #require(result == 0)
    }
}
