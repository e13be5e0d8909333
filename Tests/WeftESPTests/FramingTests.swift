import TestSupport
import Testing
import WeftESP
import WeftNet

@Suite("VXLAN in ESP in UDP")
struct FramingTests {
    private func framed(_ packet: [UInt8], vni: UInt32 = 0x123456) -> (datagram: [UInt8], length: Int) {
        var datagram = [UInt8](repeating: 0, count: ESPPacket.datagramLength(packet: packet.count))
        datagram.replaceSubrange(46..<(46 + packet.count), with: packet)
        let length = datagram.withUnsafeMutableBytes {
            ESPPacket.frame(
                $0.start, spi: 0x0102_0304, sequence: 0x1_0000_0002, vni: vni, sourcePort: 50000, targetPort: 4790,
                isIPv6: packet[0] >> 4 == 6, packet: packet.count)
        }
        return (datagram, length)
    }

    @Test("Every field is where the RFCs have it", arguments: [0, 1, 2, 3, 4])
    func fields(extra: Int) {
        let packet = Packets.udp(payload: [UInt8](repeating: 7, count: extra))
        let (datagram, length) = framed(packet)
        #expect(Array(datagram[..<16]) == [1, 2, 3, 4, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2])
        #expect(
            Array(datagram[16..<24]) == Packets.big(UInt16(50000)) + Packets.big(UInt16(4790)) + Packets.big(UInt16(30 + packet.count)) + [
                0, 0,
            ])
        #expect(Array(datagram[24..<32]) == [8, 0, 0, 0, 0x12, 0x34, 0x56, 0])
        #expect(Array(datagram[44..<46]) == [8, 0])
        #expect(Array(datagram[46..<(46 + packet.count)]) == packet)
        #expect(length % 4 == 0)
        let padding = length - 2 - 30 - packet.count
        #expect((0...3).contains(padding))
        let trailer = (0..<padding).map { UInt8($0 + 1) } + [UInt8(padding), 17]
        #expect(Array(datagram[(46 + packet.count)..<(16 + length)]) == trailer)
        #expect(datagram.count == 16 + length + 16)
    }

    @Test("What was framed is read again")
    func content() {
        for extra in 0..<9 {
            let packet = Packets.udp(isIPv6: extra % 2 == 1, payload: [UInt8](repeating: 7, count: extra))
            let (datagram, length) = framed(packet)
            let content = datagram[16..<(16 + length)].withUnsafeBytes { ESPPacket.content($0, port: 4790) }
            #expect(content == ESPPacket.Content(vni: 0x123456, isIPv6: extra % 2 == 1, length: packet.count))
            #expect(datagram[16..<(16 + length)].withUnsafeBytes { ESPPacket.content($0, port: 4789) } == nil)
        }
    }

    @Test("Questions between tunnels are packets of any length, and nothing else is one", arguments: [0, 20, 64, 1372, 1408])
    func probes(length: Int) {
        for probe in [TunnelProbe(.question, number: 1), TunnelProbe(.answer, number: .max)] {
            let least = max(length, TunnelProbe.lengthMin)
            var datagram = [UInt8](repeating: 0xff, count: ESPPacket.datagramLength(packet: least))
            let count = datagram.withUnsafeMutableBytes { probe.frame($0.start, spi: 300, sequence: 9, port: 4790, length: length) }
            #expect(datagram.count == 16 + count + 16)
            let plain = Array(datagram[16..<(16 + count)])
            func read(_ octets: [UInt8], port: UInt16 = 4790) -> TunnelProbe? { octets.withUnsafeBytes { TunnelProbe($0, port: port) } }
            #expect(read(plain) == probe && read(plain, port: 4789) == nil)
            #expect(plain.withUnsafeBytes { ESPPacket.content($0, port: 4790) } == nil, "no network gets it")
            // Its type, its network, its mark, its kind.
            for place in [28, 12, 30, 34] {
                var other = plain
                other[place] = 0x77
                #expect(read(other) == nil)
            }
        }
        let (datagram, count) = framed(Packets.udp(payload: [UInt8](repeating: 7, count: 40)), vni: 0)
        #expect(datagram[16..<(16 + count)].withUnsafeBytes { TunnelProbe($0, port: 4790) } == nil)
    }

    @Test("What fits a packet is what networks' MTU is made from")
    func insideESP() throws {
        for bytes in 1000...1520 {
            #expect(try #require(MTU(bytes)).insideESP.bytes == ESPPacket.largestPacket(in: bytes - 28))
        }
    }

    @Test("The largest packet that fits, fits, and one more does not", arguments: 1000...1010)
    func largest(capacity: Int) {
        let packet = ESPPacket.largestPacket(in: capacity)
        #expect(ESPPacket.datagramLength(packet: packet) <= capacity)
        #expect(ESPPacket.datagramLength(packet: packet + 1) > capacity)
    }

    @Test("Keep-alives, key exchanges and what is cut off are told from packets")
    func kinds() {
        func kind(_ bytes: [UInt8]) -> ESPPacket.Kind { bytes.withUnsafeBytes { ESPPacket.kind(of: $0) } }
        #expect(kind([0xff]) == .keepalive)
        #expect(kind([]) == .unknown)
        #expect(kind([0]) == .unknown)
        #expect(kind([0, 0, 1, 0, 0, 0, 0, 9] + [UInt8](repeating: 0, count: 28)) == .packet(spi: 256, sequence: 9))
        #expect(kind([0, 0, 0, 255, 0, 0, 0, 9] + [UInt8](repeating: 0, count: 28)) == .unknown)
        #expect(kind([UInt8](repeating: 0, count: 60)) == .unknown)
        #expect(kind([0, 0, 1, 0, 0, 0, 0, 9] + [UInt8](repeating: 0, count: 27)) == .unknown)
    }

    @Test("Whatever was encrypted, reading it touches nothing outside")
    func nonsense() {
        var random = SplitMix(state: 1)
        for _ in 0..<20000 {
            let bytes = (0..<Int.random(in: 0...90, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            if let content = bytes.withUnsafeBytes({ ESPPacket.content($0, port: 4790) }) { #expect(content.length <= bytes.count) }
        }
    }

    @Test("A frame on the device says its network and its peer")
    func deviceFrames() {
        let about = TunnelFrame(vni: 0xabcdef, peer: 0x0a09_0102, isIPv6: false)
        var frame: [UInt8] = [2, 0xab, 0xcd, 0xef, 0, 0, 2, 0, 10, 9, 1, 2, 8, 0] + Packets.udp(payload: [])
        #expect(frame.withUnsafeBytes { TunnelFrame($0) } == about)
        frame[0] = 0x33
        #expect(frame.withUnsafeBytes { TunnelFrame($0) } == nil)
    }

    @Test("A frame to the device is for its own address, and has network and peer in the sender's and the tag", arguments: [false, true])
    func framesToTheDevice(isIPv6: Bool) {
        var frame = [UInt8](repeating: 0, count: 18)
        frame.withUnsafeMutableBytes { TunnelFrame(vni: 0xabcdef, peer: 0x0a09_0102, isIPv6: isIPv6).write(to: $0.start) }
        let device: [UInt8] = [0x0a, 0x77, 0x65, 0x66, 0x74, 1]
        #expect(frame == device + [2, 0xab, 0xcd, 0xef, 1, 2, 0x81, 0, 10, 9] + (isIPv6 ? [0x86, 0xdd] : [8, 0]))
        // What the process has written itself is nothing that it is to send.
        frame += Packets.udp(isIPv6: isIPv6, payload: [])
        #expect(frame.withUnsafeBytes { TunnelFrame($0) } == nil)
    }
}
