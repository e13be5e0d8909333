internal import WeftBPF
internal import WeftLinux
internal import WeftWire

/// The TAP to the process that encrypts. It is made here and stays, so that its program is there before anything comes out of it, and what is to
/// be encrypted has nowhere else to go when that process is not there.
struct TunnelInterface: Sendable {
    let namespace: NetworkNamespace
    let netlink: NetlinkSocket
    let programs: DatapathPrograms

    private static let name = KernelDatapath.tunnelName
    /// The most that the kernel takes: the networks' own MTU says what fits.
    private static let mtu = 65535 - 14

    /// Makes it, or brings the one that is there into order.
    func make() throws {
        let name = Self.name
        if let other = try netlink.link(named: name), !isTAP(other) {
            throw KernelDatapathError(
                "The interface \(name) is in the way of encrypted networks: it is none that Weft has made. Remove it: ip link delete \(name)"
            )
        }
        // A queue that is opened would be given packets: none beside those of the process.
        if try netlink.link(named: name) == nil { try makeTAP() }
        if try programs.role(at: netlink.existingLink(name).index) != .tunnel {
            try programs.attachTunnel(interface: netlink.existingLink(name).index)
        }
        let setting = "net.ipv6.conf.\(name).disable_ipv6"
        // A kernel without IPv6 has no such setting.
        if (try? Sysctl(in: namespace).read(setting)) != nil { try Sysctl(in: namespace).write(setting, "1") }
        try netlink.change(
            .setLink(
                index: netlink.existingLink(name).index,
                LinkChange(isUp: true, mtu: Self.mtu, mac: KernelDatapath.gatewayMAC, reversePathFilter: 0)),
            "set up the interface \(name)")
    }

    private func makeTAP() throws {
        do {
            try TapDevice.make(Self.name, in: namespace)
        } catch {
            throw KernelDatapathError(
                "Encrypted networks need the interface \(Self.name), which cannot be made: \(error). "
                    + "See that the kernel module tun is there, and the device /dev/net/tun where weftd runs.")
        }
    }

    func isIntact(_ link: LinkMessage?, _ roles: [UInt32: AttachmentRole]) -> Bool {
        guard let link else { return false }
        return isTAP(link) && link.isUp && link.mtu == Self.mtu && link.mac == KernelDatapath.gatewayMAC && link.reversePathFilter == 0
            && link.hasIPv6 != true && roles[link.index] == .tunnel
    }

    /// Packets that nobody took from it.
    func unreadPackets() throws -> UInt64 {
        guard try netlink.link(named: Self.name) != nil else { return 0 }
        return try netlink.get(.getLink(name: Self.name), "count what \(Self.name) dropped") { LinkMessage.droppedOnLeaving($0) }
    }

    private func isTAP(_ link: LinkMessage) -> Bool { link.kind == "tun" && link.isEthernet }
}
