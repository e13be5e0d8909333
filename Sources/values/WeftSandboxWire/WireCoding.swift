/// Appends values to bytes, little endian, texts and lists with their count before them.
struct WireWriter {
    var bytes: [UInt8] = []

    mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }

    mutating func write<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value) {
        for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
        }
    }

    mutating func write(_ text: String) {
        write(UInt32(text.utf8.count))
        bytes += text.utf8
    }

    mutating func write(_ texts: [String]) {
        write(UInt32(texts.count))
        for text in texts { write(text) }
    }
}

/// Takes values from bytes; everything may be missing or wrong.
struct WireReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    private mutating func take(_ count: Int) throws(ShimMessageError) -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw .truncated }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    private mutating func read<Value: FixedWidthInteger & UnsignedInteger>(
        _: Value.Type
    ) throws(ShimMessageError) -> Value {
        try take(Value.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Value($1) }
    }

    mutating func readUInt8() throws(ShimMessageError) -> UInt8 { try take(1).reduce(0) { $0 | $1 } }
    mutating func readUInt16() throws(ShimMessageError) -> UInt16 { try read(UInt16.self) }
    mutating func readUInt32() throws(ShimMessageError) -> UInt32 { try read(UInt32.self) }
    mutating func readUInt64() throws(ShimMessageError) -> UInt64 { try read(UInt64.self) }
    mutating func readBool() throws(ShimMessageError) -> Bool { try readUInt8() != 0 }

    mutating func readString() throws(ShimMessageError) -> String {
        let count = Int(try readUInt32())
        // A NUL would end the text early on its way into a system call.
        guard let text = String(validating: try take(count), as: UTF8.self), !text.utf8.contains(0) else {
            throw .invalidText
        }
        return text
    }

    mutating func readStrings() throws(ShimMessageError) -> [String] {
        let count = Int(try readUInt32())
        // Each takes four bytes at least: a count that cannot be true allocates nothing.
        guard count <= rest.count / 4 else { throw .truncated }
        var texts: [String] = []
        for _ in 0..<count { texts.append(try readString()) }
        return texts
    }

    mutating func readRest() -> [UInt8] {
        defer { rest = [] }
        return Array(rest)
    }
}
