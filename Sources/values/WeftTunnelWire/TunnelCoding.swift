/// Why bytes are no message.
package struct TunnelMessageError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String
    static let malformed = TunnelMessageError(description: "not a message of the tunnel's")
}

private struct Writer {
    var bytes: [UInt8] = []

    mutating func write<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) {
        for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }

    mutating func write(_ octets: some Collection<UInt8>) {
        write(UInt16(truncatingIfNeeded: octets.count))
        bytes += octets
    }
}

/// Everything may be missing or wrong.
private struct Reader {
    var rest: ArraySlice<UInt8>

    mutating func read<Number: FixedWidthInteger & UnsignedInteger>(_: Number.Type = Number.self) throws(TunnelMessageError) -> Number {
        let size = Number.bitWidth / 8
        guard rest.count >= size else { throw .malformed }
        defer { rest = rest.dropFirst(size) }
        return rest.prefix(size).reduce(0) { $0 << 8 | Number($1) }
    }

    mutating func readOctets() throws(TunnelMessageError) -> [UInt8] {
        let count = Int(try read(UInt16.self))
        guard rest.count >= count else { throw .malformed }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    /// The number of things that follow, of which each takes at least so many bytes.
    mutating func readCount(each size: Int) throws(TunnelMessageError) -> Int {
        let count = Int(try read(UInt32.self))
        guard count <= rest.count / size else { throw .malformed }
        return count
    }

    func end() throws(TunnelMessageError) {
        guard rest.isEmpty else { throw .malformed }
    }
}

extension TunnelRequest {
    package func encoded() -> [UInt8] {
        var writer = Writer()
        switch self {
        case .send(let peer, let association):
            writer.write(association == nil ? UInt8(2) : 1)
            writer.write(peer)
            guard let association else { break }
            writer.write(association.spi)
            writer.write(association.address)
            writer.write(association.port)
            writer.write(association.lastSequence)
            writer.write(association.material)
        case .receive(let association):
            writer.write(UInt8(3))
            writer.write(association.spi)
            writer.write(association.peer)
            writer.write(association.material)
        case .refuse(let spi):
            writer.write(UInt8(4))
            writer.write(spi)
        case .status:
            writer.write(UInt8(5))
        case .probe(let peer, let number, let length):
            writer.write(UInt8(6))
            writer.write(peer)
            writer.write(number)
            writer.write(length)
        case .probes:
            writer.write(UInt8(7))
        }
        return writer.bytes
    }

    package init(_ bytes: ArraySlice<UInt8>) throws(TunnelMessageError) {
        var reader = Reader(rest: bytes)
        switch try reader.read(UInt8.self) {
        case 1:
            let peer = try reader.read(UInt32.self)
            self = .send(
                peer: peer,
                association: OutboundAssociation(
                    spi: try reader.read(), address: try reader.read(), port: try reader.read(), lastSequence: try reader.read(),
                    material: try reader.readOctets()))
        case 2: self = .send(peer: try reader.read(), association: nil)
        case 3: self = .receive(InboundAssociation(spi: try reader.read(), peer: try reader.read(), material: try reader.readOctets()))
        case 4: self = .refuse(spi: try reader.read())
        case 5: self = .status
        case 6: self = .probe(peer: try reader.read(), number: try reader.read(), length: try reader.read())
        case 7: self = .probes
        default: throw .malformed
        }
        try reader.end()
    }
}

extension TunnelReply {
    package func encoded() -> [UInt8] {
        var writer = Writer()
        switch self {
        case .done: writer.write(UInt8(1))
        case .refused(let reason):
            writer.write(UInt8(2))
            writer.write(Array(reason.utf8.prefix(1024)))
        case .status(let status):
            writer.write(UInt8(3))
            writer.write(UInt32(status.counts.count))
            for count in status.counts { writer.write(count) }
            writer.write(UInt32(status.outbound.count))
            for association in status.outbound {
                writer.write(association.peer)
                writer.write(association.spi)
                writer.write(association.lastSequence)
            }
            writer.write(UInt32(status.inbound.count))
            for association in status.inbound {
                writer.write(association.spi)
                writer.write(association.peer)
                writer.write(association.highestSequence)
            }
        case .probes(let results):
            writer.write(UInt8(4))
            writer.write(UInt32(results.count))
            for result in results {
                writer.write(result.peer)
                writer.write(result.answered)
                writer.write(result.roundTripMicroseconds)
                writer.write(result.heard)
            }
        }
        return writer.bytes
    }

    package init(_ bytes: ArraySlice<UInt8>) throws(TunnelMessageError) {
        var reader = Reader(rest: bytes)
        switch try reader.read(UInt8.self) {
        case 1: self = .done
        case 2: self = .refused(String(decoding: try reader.readOctets(), as: UTF8.self))
        case 3:
            var status = TunnelStatus(counts: [], outbound: [], inbound: [])
            for _ in 0..<(try reader.readCount(each: 8)) { status.counts.append(try reader.read()) }
            for _ in 0..<(try reader.readCount(each: 16)) {
                status.outbound.append(.init(peer: try reader.read(), spi: try reader.read(), lastSequence: try reader.read()))
            }
            for _ in 0..<(try reader.readCount(each: 16)) {
                status.inbound.append(.init(spi: try reader.read(), peer: try reader.read(), highestSequence: try reader.read()))
            }
            self = .status(status)
        case 4:
            var results: [TunnelProbeResult] = []
            for _ in 0..<(try reader.readCount(each: 24)) {
                results.append(
                    TunnelProbeResult(
                        peer: try reader.read(), answered: try reader.read(), roundTripMicroseconds: try reader.read(),
                        heard: try reader.read()))
            }
            self = .probes(results)
        default: throw .malformed
        }
        try reader.end()
    }
}
