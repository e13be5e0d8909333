import TestSupport
import Testing
import WeftESP

/// What the kernel gives for one large packet: the checksum's field has the pseudo-header's sum.
private func offloaded(_ packet: [UInt8], segment: Int) -> (packet: [UInt8], header: VirtioHeader) {
    var packet = packet
    let isIPv6 = packet[0] >> 4 == 6
    let isUDP = packet[isIPv6 ? 6 : 9] == 17
    let start = isIPv6 ? 40 : 20
    let field = start + (isUDP ? 6 : 16)
    let sum = Packets.folded(Packets.pseudo(packet))
    packet[field] = UInt8(sum >> 8)
    packet[field + 1] = UInt8(sum & 0xff)
    var header = VirtioHeader()
    header.flags = 1
    header.segments = isUDP ? .udp : isIPv6 ? .tcp6 : .tcp4
    header.segmentSize = segment
    header.checksumStart = 14 + start
    header.checksumOffset = field - start
    return (packet, header)
}

private func cut(_ packet: [UInt8], _ header: VirtioHeader) -> [[UInt8]]? {
    packet.withUnsafeBytes { bytes in
        guard let segments = Segmentation(bytes, header) else { return nil }
        return (0..<segments.count).map { index in
            [UInt8](unsafeUninitializedCapacity: segments.longest) { area, count in
                count = segments.write(index, to: UnsafeMutableRawBufferPointer(area).start)
            }
        }
    }
}

/// Merges packets as if each had come by the tunnel; returns the frames that the device gets.
private func merged(_ packets: [[UInt8]], vni: UInt32 = 5, peer: UInt32 = 9, congested: Set<Int> = []) -> [Frame] {
    var merger = Merger()
    var frames: [Frame] = []
    for (index, packet) in packets.enumerated() {
        let count = ESPPacket.datagramLength(packet: packet.count)
        var datagram = [UInt8](repeating: 0, count: count)
        datagram.replaceSubrange(46..<(46 + packet.count), with: packet)
        let isIPv6 = packet[0] >> 4 == 6
        let length = datagram.withUnsafeMutableBytes {
            ESPPacket.frame(
                $0.start, spi: 300, sequence: 1, vni: vni, sourcePort: 50000, targetPort: 4790, isIPv6: isIPv6, packet: packet.count)
        }
        let place = merger.place(for: length)
        datagram.withUnsafeBytes { place.copyMemory(from: $0.start + ESPPacket.headerLength, byteCount: length) }
        guard let content = ESPPacket.content(UnsafeRawBufferPointer(start: place, count: length), port: 4790) else {
            merger.refuse()
            continue
        }
        _ = merger.accept(content, peer: peer, isCongested: congested.contains(index)) { frames.append(Frame($0)) }
    }
    merger.flush { frames.append(Frame($0)) }
    return frames
}

private struct Frame {
    var header: VirtioHeader?
    var ethernet: [UInt8]
    var packet: [UInt8]

    init(_ bytes: UnsafeRawBufferPointer) {
        header = VirtioHeader(bytes.start)
        ethernet = Array(bytes[10..<28])
        packet = Array(bytes[28...])
    }

    /// What the kernel says of the frame once it has taken the tag out, and hands it on.
    var headerWithoutTag: VirtioHeader? {
        var header = header
        header?.headerLength -= 4
        header?.checksumStart -= 4
        return header
    }
}

private func ethernet(_ about: TunnelFrame) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 18) { area, count in
        about.write(to: UnsafeMutableRawBufferPointer(area).start)
        count = 18
    }
}

@Suite("Large packets are cut and put together")
struct OffloadTests {
    @Test("What is cut is whole packets with right sums, and becomes the same packet again", arguments: 0..<200)
    func thereAndBack(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        var about = Packets.TCP()
        about.isIPv6 = Bool.random(using: &random)
        about.number = .random(in: 0...UInt32.max, using: &random)
        about.flags = Bool.random(using: &random) ? 0x10 : 0x18
        let segment = Int.random(in: 300...1500, using: &random)
        let payload = (0..<Int.random(in: 1...40000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        let original = Packets.tcp(about, payload: payload)
        let (packet, header) = offloaded(original, segment: segment)
        let segments = try #require(cut(packet, header))
        #expect(segments.count == (payload.count + segment - 1) / segment)
        for one in segments { #expect(Packets.isRight(one)) }
        let frames = merged(segments)
        let whole = frames.reduce(into: [UInt8]()) { $0 += $1.packet[(about.isIPv6 ? 72 : 52)...] }
        #expect(whole == payload)
        guard segments.count > 1, about.flags == 0x10 else { return }
        // All in one, but for a last one that is too small to begin with.
        let frame = try #require(frames.first)
        #expect(frames.count == 1)
        #expect(frame.ethernet == ethernet(TunnelFrame(vni: 5, peer: 9, isIPv6: about.isIPv6)))
        #expect(frame.header?.segmentSize == segment)
        #expect(frame.header?.headerLength == 18 + (about.isIPv6 ? 72 : 52))
        let mergedHeader = try #require(frame.headerWithoutTag)
        #expect(cut(frame.packet, mergedHeader) == segments)
    }

    @Test("Trains of UDP are cut at their datagrams", arguments: [false, true])
    func udp(isIPv6: Bool) throws {
        let payload = (0..<2500).map { UInt8(truncatingIfNeeded: $0) }
        let (packet, header) = offloaded(Packets.udp(isIPv6: isIPv6, payload: payload), segment: 1000)
        let datagrams = try #require(cut(packet, header))
        #expect(
            datagrams
                == [0..<1000, 1000..<2000, 2000..<2500].enumerated().map { index, range in
                    var one = Packets.udp(isIPv6: isIPv6, payload: Array(payload[range]))
                    if !isIPv6 { one = identified(one, 7 + UInt16(index)) }
                    return one
                })
    }

    private func identified(_ packet: [UInt8], _ identification: UInt16) -> [UInt8] {
        var packet = packet
        (packet[4], packet[5], packet[10], packet[11]) = (UInt8(identification >> 8), UInt8(identification & 0xff), 0, 0)
        let sum = ~Packets.folded(Packets.words(Array(packet[..<20])))
        (packet[10], packet[11]) = (UInt8(sum >> 8), UInt8(sum & 0xff))
        return packet
    }

    @Test("Half a checksum is made a whole one")
    func checksum() throws {
        for length in [0, 1, 99, 1400] {
            let original = Packets.udp(payload: [UInt8](repeating: 0xa5, count: length))
            let (packet, offload) = offloaded(original, segment: 0)
            var header = offload
            header.segments = .none
            #expect(cut(packet, header) == [original])
        }
    }

    @Test("A connection's segments among another's stay in order and whole")
    func interleaved() {
        var first = Packets.TCP()
        var second = Packets.TCP(source: 40001)
        var packets: [[UInt8]] = []
        for index in 0..<12 {
            packets.append(Packets.tcp(first, payload: [UInt8](repeating: UInt8(index), count: 1000)))
            first.number += 1000
            if index % 3 == 2 {
                packets.append(Packets.tcp(second, payload: [UInt8](repeating: 200, count: 700)))
                second.number += 700
            }
        }
        let frames = merged(packets)
        #expect(frames.count == 8)
        #expect(frames.map { $0.header?.segmentSize } == [1000, 0, 1000, 0, 1000, 0, 1000, 0])
        #expect(frames[1].packet == packets[3])
        #expect(frames.flatMap { $0.packet[52...] } == packets.flatMap { $0[52...] })
    }

    @Test("What is not the next segment is not put behind", arguments: ["gap", "flags", "options", "window", "tos", "larger", "ack"])
    func notTheNext(what: String) {
        var about = Packets.TCP()
        let first = Packets.tcp(about, payload: [UInt8](repeating: 1, count: 600))
        about.number += 600
        var size = 600
        switch what {
        case "gap": about.number += 1
        case "flags": about.flags = 0x30
        case "options": about.options[11] = 9
        case "tos": about.tos = 2
        case "larger": size = 601
        default: break
        }
        var second = Packets.tcp(about, payload: [UInt8](repeating: 2, count: size))
        if what == "window" { second[34] = 9 }
        if what == "ack" { second[31] = 9 }
        let frames = merged([first, second])
        #expect(frames.map(\.packet) == [first, second])
        #expect(frames.map { $0.header?.segments } == [VirtioHeader.Segments.none, VirtioHeader.Segments.none])
    }

    @Test("The end of a train ends the packet")
    func push() {
        var about = Packets.TCP()
        var packets = [Packets.tcp(about, payload: [UInt8](repeating: 1, count: 600))]
        about.number += 600
        about.flags = 0x18
        packets.append(Packets.tcp(about, payload: [UInt8](repeating: 2, count: 600)))
        about.number += 600
        about.flags = 0x10
        packets.append(Packets.tcp(about, payload: [UInt8](repeating: 3, count: 600)))
        let frames = merged(packets)
        #expect(frames.count == 2)
        #expect(frames[0].packet[33] == 0x18)
        #expect(frames[1].packet == packets[2])
    }

    @Test("The congestion mark goes to the inner header, or the packet goes")
    func congestion() {
        let able = Packets.tcp(Packets.TCP(tos: 2), payload: [1])
        let unable = Packets.tcp(Packets.TCP(), payload: [1])
        let frames = merged([able, unable], congested: [0, 1])
        #expect(frames.map(\.packet) == [Packets.tcp(Packets.TCP(tos: 3), payload: [1])])
        let able6 = Packets.tcp(Packets.TCP(isIPv6: true, tos: 1), payload: [1])
        #expect(merged([able6], congested: [0]).map { $0.packet[1] & 0x30 } == [0x30])
    }

    @Test("Whatever the device says of a frame, nothing outside it is touched", arguments: 0..<20)
    func nonsense(seed: UInt64) {
        var random = SplitMix(state: seed)
        for _ in 0..<500 {
            var packet = (0..<Int.random(in: 20...400, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            packet[0] = Bool.random(using: &random) ? 0x45 : 0x60
            var header = VirtioHeader()
            header.flags = .random(in: 0...3, using: &random)
            header.segments = [.none, .tcp4, .tcp6, .udp].randomElement(using: &random)!
            header.segmentSize = .random(in: 0...100, using: &random)
            header.checksumStart = .random(in: 0...120, using: &random)
            header.checksumOffset = [6, 16, .random(in: 0...65535, using: &random)].randomElement(using: &random)!
            for one in cut(packet, header) ?? [] { #expect(one.count <= packet.count) }
        }
    }

    @Test("Whatever an authentic peer sends, the merger carries on", arguments: 0..<20)
    func hostilePeer(seed: UInt64) {
        var random = SplitMix(state: seed)
        let packets = (0..<300).map { _ in
            var packet = Packets.tcp(
                Packets.TCP(isIPv6: Bool.random(using: &random), number: .random(in: 0...2, using: &random)),
                payload: [UInt8](repeating: 1, count: .random(in: 0...3000, using: &random)))
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                packet[Int.random(in: 1..<min(packet.count, 60), using: &random)] = .random(in: 0...255, using: &random)
            }
            return packet
        }
        #expect(merged(packets).count <= packets.count)
    }
}
