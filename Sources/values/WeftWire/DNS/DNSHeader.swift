/// What a message asks for (RFC 1035, 4.1.1): four bits.
package struct DNSOpcode: Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue & 0xf }
    package static let query = DNSOpcode(rawValue: 0)
}

/// A response code: four bits in the header, twelve with EDNS0 (RFC 6891, 6.1.3).
package struct DNSResponseCode: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue & 0xfff }

    package static let noError = DNSResponseCode(rawValue: 0)
    package static let formatError = DNSResponseCode(rawValue: 1)
    package static let serverFailure = DNSResponseCode(rawValue: 2)
    package static let nameError = DNSResponseCode(rawValue: 3)
    package static let notImplemented = DNSResponseCode(rawValue: 4)
    package static let refused = DNSResponseCode(rawValue: 5)
    package static let badVersion = DNSResponseCode(rawValue: 16)

    /// The name that resolver tools print.
    package var description: String {
        switch self {
        case .noError: "NOERROR"
        case .formatError: "FORMERR"
        case .serverFailure: "SERVFAIL"
        case .nameError: "NXDOMAIN"
        case .notImplemented: "NOTIMP"
        case .refused: "REFUSED"
        case .badVersion: "BADVERS"
        default: "RCODE\(rawValue)"
        }
    }
}

/// A message's identifier and flags (RFC 1035, 4.1.1; AD and CD: RFC 4035), without the section counts.
package struct DNSHeader: Hashable, Sendable {
    package var id: UInt16
    package var isResponse = false
    package var opcode = DNSOpcode.query
    package var isAuthoritative = false
    package var isTruncated = false
    package var recursionDesired = false
    package var recursionAvailable = false
    package var authenticData = false
    package var checkingDisabled = false
    /// The low four bits of the response code.
    package var responseCode = DNSResponseCode.noError

    /// Octets of the header, section counts among them.
    package static let size = 12

    package init(id: UInt16) { self.id = id }

    /// Reads the header at the start of a message; nil when there are fewer than 12 octets.
    package init?(message: [UInt8]) {
        guard message.count >= Self.size else { return nil }
        self.init(
            id: UInt16(message[0]) << 8 | UInt16(message[1]), flags: UInt16(message[2]) << 8 | UInt16(message[3]))
    }

    init(id: UInt16, flags: UInt16) {
        self.id = id
        isResponse = flags & 0x8000 != 0
        opcode = DNSOpcode(rawValue: UInt8(flags >> 11 & 0xf))
        isAuthoritative = flags & 0x0400 != 0
        isTruncated = flags & 0x0200 != 0
        recursionDesired = flags & 0x0100 != 0
        recursionAvailable = flags & 0x0080 != 0
        authenticData = flags & 0x0020 != 0
        checkingDisabled = flags & 0x0010 != 0
        responseCode = DNSResponseCode(rawValue: flags & 0xf)
    }

    var flags: UInt16 {
        var flags = UInt16(opcode.rawValue) << 11 | responseCode.rawValue & 0xf
        if isResponse { flags |= 0x8000 }
        if isAuthoritative { flags |= 0x0400 }
        if isTruncated { flags |= 0x0200 }
        if recursionDesired { flags |= 0x0100 }
        if recursionAvailable { flags |= 0x0080 }
        if authenticData { flags |= 0x0020 }
        if checkingDisabled { flags |= 0x0010 }
        return flags
    }
}
