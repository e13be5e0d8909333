/// Writes a message's fields from left to right and remembers names, to point back at them.
struct DNSWriter {
    private(set) var bytes: [UInt8] = []
    /// Where a name, or the end of one, was written.
    private var offsets: [DNSName: Int] = [:]
    /// The first name written: nearly every record of an answer repeats it, and this spares the table.
    private var first: (name: DNSName, offset: Int)?

    init() { bytes.reserveCapacity(512) }

    mutating func write(octet: UInt8) { bytes.append(octet) }

    mutating func write(word: UInt16) {
        bytes.append(UInt8(truncatingIfNeeded: word >> 8))
        bytes.append(UInt8(truncatingIfNeeded: word))
    }

    mutating func write(doubleWord: UInt32) {
        write(word: UInt16(truncatingIfNeeded: doubleWord >> 16))
        write(word: UInt16(truncatingIfNeeded: doubleWord))
    }

    mutating func write(quadWord: UInt64) {
        write(doubleWord: UInt32(truncatingIfNeeded: quadWord >> 32))
        write(doubleWord: UInt32(truncatingIfNeeded: quadWord))
    }

    mutating func write(_ octets: some Sequence<UInt8>) { bytes.append(contentsOf: octets) }

    mutating func write(characterString: [UInt8]) {
        var rest = characterString[...]
        repeat {
            let part = rest.prefix(255)
            write(octet: UInt8(part.count))
            write(part)
            rest = rest.dropFirst(255)
        } while !rest.isEmpty
    }

    mutating func replaceWord(at offset: Int, with word: UInt16) {
        bytes[offset] = UInt8(truncatingIfNeeded: word >> 8)
        bytes[offset + 1] = UInt8(truncatingIfNeeded: word)
    }

    /// Takes back everything from `count` octets on, and the names written there.
    mutating func truncate(to count: Int) {
        bytes.removeLast(bytes.count - count)
        offsets = offsets.filter { $0.value < count }
        if let first, first.offset >= count { self.first = nil }
    }

    /// Writes a name; `compressed` lets its end be a pointer. Later names may point here either way.
    mutating func write(_ name: DNSName, compressed: Bool) {
        if compressed, let first, first.name == name {
            write(pointer: first.offset)
            return
        }
        var rest = name.wire[...]
        var isStart = true
        while rest.count > 1 {
            let suffix = isStart ? name : DNSName(validWire: Array(rest))
            if compressed, let offset = offsets[suffix] {
                write(pointer: offset)
                return
            }
            // A pointer has 14 bits.
            if bytes.count < 0x4000, offsets[suffix] == nil {
                offsets[suffix] = bytes.count
                if isStart, first == nil { first = (name, bytes.count) }
            }
            isStart = false
            let label = rest.prefix(1 + Int(rest[rest.startIndex]))
            write(label)
            rest = rest.dropFirst(label.count)
        }
        write(octet: 0)
    }

    private mutating func write(pointer offset: Int) { write(word: 0xc000 | UInt16(truncatingIfNeeded: offset)) }
}
