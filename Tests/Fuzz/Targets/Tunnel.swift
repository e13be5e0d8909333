import WeftCrypto
import WeftESP
import WeftModel
import WeftTunnelWire

extension FuzzTarget {
    private static let vxlanPort: UInt16 = 4790

    /// UDP, VXLAN and Ethernet in front of an IPv4 packet, then no padding and next header 17.
    private static func vxlanFrame(_ packet: [UInt8]) -> [UInt8] {
        var frame: [UInt8] = [0xc0, 0, 0x12, 0xb6, 0, UInt8(30 + packet.count), 0, 0, 8, 0, 0, 0, 0, 10, 1, 0]
        frame += [2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 8, 0]
        return frame + packet + [0, 17]
    }

    private static let tcpPacket: [UInt8] =
        [0x45, 0, 0, 48, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
        + [0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 64, 0, 0, 0, 0] + Array(repeating: 7, count: 8)

    /// What comes to the port for ESP, and what is in it once it is decrypted: two of them, so that the second may continue the first.
    static let espPacket = FuzzTarget(
        name: "esp-packet", samples: [vxlanFrame(tcpPacket), [0xff], [0, 0, 16, 1] + Array(repeating: 0, count: 44)]
    ) { bytes throws(FuzzFinding) in
        bytes.withUnsafeBytes { _ = ESPPacket.kind(of: $0) }
        var merger = Merger()
        var finding: String?
        func emit(_ frame: UnsafeRawBufferPointer) {
            let lead = VirtioHeader.length + TunnelFrame.taggedLength
            guard frame.count >= lead + 20, let start = frame.baseAddress, let header = VirtioHeader(start),
                frame[(lead - 2)..<lead].elementsEqual(frame[lead] >> 4 == 4 ? [0x08, 0x00] : [0x86, 0xdd]),
                header.segments == .none || header.checksumStart + header.checksumOffset + 2 <= frame.count - VirtioHeader.length
            else {
                finding = "a frame that is none, of \(frame.count) octets"
                return
            }
        }
        for round in 0..<3 {
            let place = merger.place(for: bytes.count)
            bytes.withUnsafeBytes { if let start = $0.baseAddress { place.copyMemory(from: start, byteCount: $0.count) } }
            _ = TunnelProbe(UnsafeRawBufferPointer(start: place, count: bytes.count), port: vxlanPort)
            let content = ESPPacket.content(UnsafeRawBufferPointer(start: place, count: bytes.count), port: vxlanPort)
            if let content, content.length + ESPPacket.innerHeaderLength > bytes.count { finding = "a packet longer than what it came in" }
            if let content { _ = merger.accept(content, peer: 1, isCongested: round == 2, emit: emit) } else { merger.refuse() }
        }
        merger.flush(emit: emit)
        if let finding { throw FuzzFinding(finding) }
    }

    /// A frame from the device, with what the kernel says of it, is cut into packets that have room where they are written.
    static let tunnelSegments = FuzzTarget(
        name: "tunnel-segments",
        samples: [
            [1, 1, 54, 0, 3, 0, 34, 0, 16, 0] + [2, 0, 10, 1, 0, 0, 2, 0, 10, 1, 0, 2, 8, 0] + tcpPacket,
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + [2, 0, 10, 1, 0, 0, 2, 0, 10, 1, 0, 2, 8, 0] + tcpPacket,
        ]
    ) { bytes throws(FuzzFinding) in
        let lead = VirtioHeader.length + TunnelFrame.headerLength
        guard bytes.count > lead else { return }
        let broken = bytes.withUnsafeBytes { all -> String? in
            guard let start = all.baseAddress, let header = VirtioHeader(start),
                let cut = Segmentation(UnsafeRawBufferPointer(rebasing: all[lead...]), header)
            else { return nil }
            let (room, canary) = (cut.longest, UInt8(0xa5))
            var target = [UInt8](repeating: canary, count: room + 64)
            for index in Set([0, 1, cut.count - 1]).filter({ $0 < cut.count }) {
                let length = target.withUnsafeMutableBytes { area in area.baseAddress.map { cut.write(index, to: $0) } ?? 0 }
                if length > room || length <= 0 { return "a packet of \(length) octets where there is room for \(room)" }
                if target[room...].contains(where: { $0 != canary }) { return "written behind the room of \(room)" }
            }
            return nil
        }
        if let broken { throw FuzzFinding(broken) }
    }

    /// What reads is written to the same bytes.
    static let tunnelMessages = FuzzTarget(
        name: "tunnel-messages",
        samples: [
            TunnelRequest.send(
                peer: 1, association: OutboundAssociation(spi: 4097, address: 2, port: 4500, material: Array(repeating: 1, count: 20))
            ).encoded(),
            TunnelRequest.receive(InboundAssociation(spi: 4097, peer: 1, material: Array(repeating: 1, count: 36))).encoded(),
            TunnelRequest.refuse(spi: 4097).encoded(),
            TunnelRequest.probe(peer: 0x0a00_0001, number: 77, length: 1408).encoded(),
            TunnelRequest.probes.encoded(),
            TunnelReply.probes([.init(peer: 0x0a00_0001, answered: 77, roundTripMicroseconds: 300, heard: 2)]).encoded(),
            TunnelReply.status(
                TunnelStatus(
                    counts: [1, 2], outbound: [.init(peer: 1, spi: 300, lastSequence: 7)],
                    inbound: [.init(spi: 301, peer: 1, highestSequence: 9)])
            ).encoded(),
        ]
    ) { bytes throws(FuzzFinding) in
        if let request = try? TunnelRequest(bytes[...]) { try same(request.encoded(), bytes, "a request") }
        // A reason is cut, and need not have been UTF-8.
        guard let reply = try? TunnelReply(bytes[...]) else { return }
        switch reply {
        case .done, .refused: break
        case .status, .probes: try same(reply.encoded(), bytes, "a reply")
        }
    }

    /// One statement, one text: two texts for one would be two keys.
    static let keyStatement = FuzzTarget(
        name: "key-statement",
        samples: [
            KeyStatement(
                cluster: ClusterID("abc123"), node: NodeID("def456"), id: StatementID(epoch: 3, incarnation: 4),
                publicKey: Array(repeating: 9, count: 32), port: 4500
            ).signedBytes
        ]
    ) { bytes throws(FuzzFinding) in
        if let statement = KeyStatement(signedBytes: bytes) { try same(statement.signedBytes, bytes, "a statement") }
    }
}
