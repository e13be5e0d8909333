internal import CLinuxUAPI

/// Builds one netlink request: header, fixed structure, attributes, each padded to four bytes.
package struct NetlinkWriter {
    package private(set) var bytes: [UInt8] = []

    /// Starts a message of `type` with `flags`; `NLM_F_REQUEST` is always set.
    package init(type: Int, flags: Int = 0) {
        append(UInt32(0))
        append(UInt16(truncatingIfNeeded: type))
        append(UInt16(truncatingIfNeeded: flags | Int(NLM_F_REQUEST)))
        append(UInt32(0))
        append(UInt32(0))
    }

    /// Appends an integer in host byte order.
    package mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Adds an attribute with raw content.
    package mutating func attribute(_ type: Int, _ content: some Collection<UInt8>) {
        nest(type) { $0.bytes.append(contentsOf: content) }
    }

    /// Adds an attribute that holds an integer in host byte order.
    package mutating func attribute(_ type: Int, _ value: some FixedWidthInteger) {
        nest(type) { $0.append(value) }
    }

    /// Adds an attribute that holds a NUL-terminated string.
    package mutating func attribute(_ type: Int, text: String) {
        nest(type) { $0.bytes.append(contentsOf: Array(text.utf8) + [0]) }
    }

    /// Adds an attribute whose content `body` writes.
    package mutating func nest(_ type: Int, _ body: (inout NetlinkWriter) -> Void) {
        let start = bytes.count
        append(UInt16(0))
        append(UInt16(truncatingIfNeeded: type))
        body(&self)
        patch16(UInt16(truncatingIfNeeded: bytes.count - start), at: start)
        while bytes.count % 4 != 0 { bytes.append(0) }
    }

    /// The finished message with its length and `sequence` filled in.
    package func message(sequence: UInt32) -> [UInt8] {
        var copy = self
        copy.patch32(UInt32(truncatingIfNeeded: bytes.count), at: 0)
        copy.patch32(sequence, at: 8)
        return copy.bytes
    }

    private mutating func patch16(_ value: UInt16, at offset: Int) {
        withUnsafeBytes(of: value) { bytes.replaceSubrange(offset..<offset + 2, with: $0) }
    }

    private mutating func patch32(_ value: UInt32, at offset: Int) {
        withUnsafeBytes(of: value) { bytes.replaceSubrange(offset..<offset + 4, with: $0) }
    }
}
