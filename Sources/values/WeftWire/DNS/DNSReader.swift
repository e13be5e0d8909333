/// Reads a message's fields from left to right.
struct DNSReader {
    /// The whole message: compression pointers count from its start.
    let bytes: [UInt8]
    private(set) var position: Int

    /// No name has more than 127 labels, so that a longer chain of pointers serves no purpose but to cost time.
    private static let pointersMax = 127

    init(_ bytes: [UInt8], position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    mutating func octet() throws(DNSDecodingError) -> UInt8 {
        guard position < bytes.count else { throw .truncated(offset: position) }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func word() throws(DNSDecodingError) -> UInt16 {
        UInt16(try octet()) << 8 | UInt16(try octet())
    }

    mutating func doubleWord() throws(DNSDecodingError) -> UInt32 {
        UInt32(try word()) << 16 | UInt32(try word())
    }

    mutating func quadWord() throws(DNSDecodingError) -> UInt64 {
        UInt64(try doubleWord()) << 32 | UInt64(try doubleWord())
    }

    /// Reads `count` octets. A negative count is a length that lies about what it contains.
    mutating func take(_ count: Int) throws(DNSDecodingError) -> [UInt8] {
        guard count >= 0, count <= bytes.count - position else { throw .truncated(offset: position) }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// Reads a name and follows its pointers, each of which must lead before the part it was found in.
    mutating func name() throws(DNSDecodingError) -> DNSName {
        let start = position
        var wire: [UInt8] = []
        wire.reserveCapacity(32)
        var cursor = position
        var partStart = position
        var pointers = 0
        while true {
            guard cursor < bytes.count else { throw .truncated(offset: cursor) }
            let length = bytes[cursor]
            switch length & 0xc0 {
            case 0 where length == 0:
                wire.append(0)
                if pointers == 0 { position = cursor + 1 }
                return DNSName(validWire: wire)
            case 0:
                let end = cursor + 1 + Int(length)
                guard end <= bytes.count else { throw .truncated(offset: cursor) }
                // One octet is kept for the root.
                guard wire.count + 1 + Int(length) < DNSName.lengthMax else { throw .nameTooLong(offset: start) }
                wire.append(contentsOf: bytes[cursor..<end])
                cursor = end
            case 0xc0:
                guard cursor + 1 < bytes.count else { throw .truncated(offset: cursor) }
                let target = Int(length & 0x3f) << 8 | Int(bytes[cursor + 1])
                guard target < partStart, target >= DNSHeader.size else { throw .pointer(offset: cursor) }
                guard pointers < Self.pointersMax else { throw .tooManyPointers(offset: start) }
                if pointers == 0 { position = cursor + 2 }
                pointers += 1
                partStart = target
                cursor = target
            default:
                throw .labelType(length, offset: cursor)
            }
        }
    }
}
