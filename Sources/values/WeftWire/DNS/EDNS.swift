/// The OPT pseudo record (RFC 6891): what a sender can take, and the high bits of the response code.
package struct EDNS: Hashable, Sendable {
    /// The largest UDP message the sender takes, in octets.
    package var payloadSize: UInt16
    /// The high eight of the response code's twelve bits.
    package var extendedResponseCode: UInt8 = 0
    package var version: UInt8 = 0
    /// DO (RFC 3225) in the top bit, the rest reserved.
    package var flags: UInt16 = 0
    package var options: [Option] = []

    package struct Option: Hashable, Sendable {
        package var code: UInt16
        /// At most 65,531 octets.
        package var value: [UInt8]
        package init(code: UInt16, value: [UInt8]) {
            self.code = code
            self.value = value
        }
    }

    package init(payloadSize: UInt16) { self.payloadSize = payloadSize }

    /// The sender takes DNSSEC records.
    package var dnssecOK: Bool {
        get { flags & 0x8000 != 0 }
        set { flags = newValue ? flags | 0x8000 : flags & 0x7fff }
    }

    /// Octets of the record on the wire.
    var size: Int { 11 + options.reduce(0) { $0 + 4 + $1.value.count } }

    /// Reads what follows name and type.
    init(reader: inout DNSReader) throws(DNSDecodingError) {
        payloadSize = try reader.word()
        extendedResponseCode = try reader.octet()
        version = try reader.octet()
        flags = try reader.word()
        let length = Int(try reader.word())
        let start = reader.position
        let end = start + length
        guard end <= reader.bytes.count else { throw .truncated(offset: start) }
        while reader.position < end {
            let code = try reader.word()
            options.append(Option(code: code, value: try reader.take(Int(try reader.word()))))
        }
        guard reader.position == end else { throw .dataLength(type: .opt, offset: start) }
    }

    func write(to writer: inout DNSWriter) {
        writer.write(octet: 0)
        writer.write(word: DNSRecordType.opt.rawValue)
        writer.write(word: payloadSize)
        writer.write(octet: extendedResponseCode)
        writer.write(octet: version)
        writer.write(word: flags)
        writer.write(word: UInt16(truncatingIfNeeded: size - 11))
        for option in options {
            writer.write(word: option.code)
            writer.write(word: UInt16(truncatingIfNeeded: option.value.count))
            writer.write(option.value)
        }
    }
}
