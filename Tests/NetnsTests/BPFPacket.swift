import WeftNet

/// Builds the packets that the programs are shown.
enum BPFPacket {
    static func mac(_ text: String) -> [UInt8] { MACAddress(text)?.octets ?? [] }
    static func address(_ text: String) -> [UInt8] { IPv4Address(text)?.octets ?? IPv6Address(text)?.octets ?? [] }
    static func bytes(_ value: Int) -> [UInt8] { [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)] }

    static func ethernet(_ source: String, _ target: String, type: Int, _ payload: [UInt8]) -> [UInt8] {
        mac(target) + mac(source) + bytes(type) + payload
    }

    /// Ones' complement sum, folded: 0xffff over a header with a right checksum.
    static func sum(_ bytes: some Sequence<UInt8>) -> Int {
        var sum = 0
        for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? Int(byte) << 8 : Int(byte) }
        while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
        return sum
    }

    static func ipv4(
        _ source: String, _ target: String, protocol number: UInt8 = 17, tos: UInt8 = 0, fragment: Int = 0,
        _ payload: [UInt8]
    ) -> [UInt8] {
        var header: [UInt8] =
            [0x45, tos] + bytes(20 + payload.count) + [0, 1] + bytes(fragment) + [64, number, 0, 0]
            + address(source) + address(target)
        header.replaceSubrange(10..<12, with: bytes(~sum(header) & 0xffff))
        return header + payload
    }

    static func ipv6(
        _ source: String, _ target: String, next: UInt8 = 17, trafficClass: UInt8 = 0, hopLimit: UInt8 = 64,
        _ payload: [UInt8]
    ) -> [UInt8] {
        [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0] + bytes(payload.count) + [next, hopLimit]
            + address(source) + address(target) + payload
    }

    /// An ICMPv6 message with its checksum, which covers the addresses (RFC 4443, 2.3).
    static func icmpv6(
        _ source: String, _ target: String, type: UInt8, code: UInt8 = 0, hopLimit: UInt8 = 255, _ body: [UInt8]
    ) -> [UInt8] {
        var message = [type, code, 0, 0] + body
        message.replaceSubrange(2..<4, with: bytes(~icmpv6Sum(source, target, message) & 0xffff))
        return ipv6(source, target, next: 58, hopLimit: hopLimit, message)
    }

    /// 0xffff over a message with a right checksum.
    static func icmpv6Sum(_ source: String, _ target: String, _ message: [UInt8]) -> Int {
        sum(address(source) + address(target) + [0, 0] + bytes(message.count) + [0, 0, 0, 58] + message)
    }

    /// A neighbour solicitation or, as type 136, an advertisement, with the options given.
    static func neighbour(
        _ source: String, _ target: String, type: UInt8 = 135, code: UInt8 = 0, flags: UInt8 = 0, about: String,
        options: [UInt8] = []
    ) -> [UInt8] {
        icmpv6(source, target, type: type, code: code, [flags, 0, 0, 0] + address(about) + options)
    }

    static func udp(from: Int = 4000, to: Int, checksum: Int = 0, _ payload: [UInt8]) -> [UInt8] {
        bytes(from) + bytes(to) + bytes(8 + payload.count) + bytes(checksum) + payload
    }

    static func echoRequest(_ payload: [UInt8]) -> [UInt8] {
        var message: [UInt8] = [8, 0, 0, 0, 0, 7, 0, 1] + payload
        message.replaceSubrange(2..<4, with: bytes(~sum(message) & 0xffff))
        return message
    }

    static func arp(operation: Int = 1, sender: (mac: String, address: String), target: String) -> [UInt8] {
        ethernet(
            sender.mac, "ff:ff:ff:ff:ff:ff", type: 0x0806,
            [0, 1, 8, 0, 6, 4] + bytes(operation) + mac(sender.mac) + address(sender.address)
                + [0, 0, 0, 0, 0, 0] + address(target))
    }

    static func vxlan(_ vni: Int, flags: UInt8 = 8, _ frame: [UInt8]) -> [UInt8] {
        [flags, 0, 0, 0, UInt8(vni >> 16 & 0xff)] + bytes(vni) + [0] + frame
    }
}
