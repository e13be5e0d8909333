/// Reads integers in host byte order from a slice; every read past the end is nil.
struct NetlinkReader {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func integer<Value: FixedWidthInteger>(_: Value.Type = Value.self) -> Value? {
        guard let octets = take(MemoryLayout<Value>.size) else { return nil }
        return netlinkInteger(octets)
    }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func skip(_ count: Int) { rest = rest.dropFirst(max(0, count)) }
}

/// The integer that `octets` hold in host byte order; nil unless they are as many as it has.
func netlinkInteger<Value: FixedWidthInteger>(_ octets: ArraySlice<UInt8>) -> Value? {
    guard octets.count == MemoryLayout<Value>.size else { return nil }
    var value: Value = 0
    withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: octets) }
    return value
}

/// The attributes of a netlink message or of a nested attribute, in the order in which they came.
package struct NetlinkAttributes {
    package let list: [(type: Int, content: ArraySlice<UInt8>)]

    /// Nil when a length is impossible. Trailing bytes that are too few for an attribute are ignored, as the kernel does.
    package init?(_ bytes: ArraySlice<UInt8>) {
        var list: [(type: Int, content: ArraySlice<UInt8>)] = []
        var reader = NetlinkReader(bytes)
        while reader.rest.count >= 4 {
            guard let length = reader.integer(UInt16.self), let type = reader.integer(UInt16.self), length >= 4,
                let content = reader.take(Int(length) - 4)
            else { return nil }
            // The two high bits say "nested" and "network byte order".
            list.append((Int(type & 0x3fff), content))
            reader.skip((4 - content.count % 4) % 4)
        }
        self.list = list
    }

    /// The content of the first attribute of `type`.
    package subscript(type: Int) -> ArraySlice<UInt8>? { list.first { $0.type == type }?.content }

    /// An integer in host byte order; nil if absent or of another size.
    package func integer<Value: FixedWidthInteger>(_ type: Int) -> Value? { self[type].flatMap { netlinkInteger($0) } }

    /// Text up to its NUL; nil if absent.
    package func text(_ type: Int) -> String? {
        self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    package func nested(_ type: Int) -> NetlinkAttributes? { self[type].flatMap { NetlinkAttributes($0) } }
}
