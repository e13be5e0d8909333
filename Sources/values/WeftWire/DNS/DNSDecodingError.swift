/// Why bytes are not a DNS message. Offsets count octets from the message's start.
package enum DNSDecodingError: Error, Hashable, Sendable {
    /// The message ends inside the field at `offset`.
    case truncated(offset: Int)
    /// A label that is neither text nor a pointer (RFC 1035, 4.1.4).
    case labelType(UInt8, offset: Int)
    /// A compression pointer that does not lead further back, or into the header.
    case pointer(offset: Int)
    /// A name that needs more pointers than a name can have labels.
    case tooManyPointers(offset: Int)
    /// A name longer than 255 octets.
    case nameTooLong(offset: Int)
    /// Record data that is shorter or longer than its type needs.
    case dataLength(type: DNSRecordType, offset: Int)
    /// More than one OPT record, or one that is not the root's (RFC 6891, 6.1.1).
    case options(offset: Int)
    /// Not exactly one question.
    case questionCount
    /// Octets after the last record.
    case trailingOctets(offset: Int)
}
