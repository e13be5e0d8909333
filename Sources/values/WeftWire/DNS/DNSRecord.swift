package import WeftNet

/// A resource record (RFC 1035, 4.1.3), OPT excepted: see `EDNS`.
package struct DNSRecord: Hashable, Sendable {
    package var name: DNSName
    package var recordClass: DNSClass
    /// How long the record may be kept, in seconds.
    package var timeToLive: UInt32
    package var data: DNSRecordData

    package init(name: DNSName, recordClass: DNSClass = .internet, timeToLive: UInt32, data: DNSRecordData) {
        self.name = name
        self.recordClass = recordClass
        self.timeToLive = timeToLive
        self.data = data
    }
}

/// What a record says, by type.
package enum DNSRecordData: Hashable, Sendable {
    case a(IPv4Address)
    /// An IPv6 address, most significant half first (RFC 3596).
    case aaaa(IPv6Address)
    case ns(DNSName)
    case cname(DNSName)
    case ptr(DNSName)
    case mx(preference: UInt16, exchange: DNSName)
    /// Character strings. One of more than 255 octets is written as several.
    case txt([[UInt8]])
    case soa(DNSStartOfAuthority)
    /// RFC 2782.
    case srv(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
    /// A type that is not looked into, or one of those above in a class other than IN.
    case opaque(DNSRecordType, [UInt8])

    package var type: DNSRecordType {
        switch self {
        case .a: .a
        case .aaaa: .aaaa
        case .ns: .ns
        case .cname: .cname
        case .ptr: .ptr
        case .mx: .mx
        case .txt: .txt
        case .soa: .soa
        case .srv: .srv
        case .opaque(let type, _): type
        }
    }
}

/// The data of an SOA record (RFC 1035, 3.3.13). Times in seconds.
package struct DNSStartOfAuthority: Hashable, Sendable {
    package var primary: DNSName
    package var mailbox: DNSName
    package var serial: UInt32
    package var refresh: UInt32
    package var retry: UInt32
    package var expire: UInt32
    package var minimum: UInt32

    package init(
        primary: DNSName, mailbox: DNSName, serial: UInt32, refresh: UInt32, retry: UInt32, expire: UInt32,
        minimum: UInt32
    ) {
        self.primary = primary
        self.mailbox = mailbox
        self.serial = serial
        self.refresh = refresh
        self.retry = retry
        self.expire = expire
        self.minimum = minimum
    }
}

extension DNSRecord {
    /// Reads a record's class, time to live and data; its name and type have been read.
    init(name: DNSName, type: DNSRecordType, reader: inout DNSReader) throws(DNSDecodingError) {
        self.name = name
        recordClass = DNSClass(rawValue: try reader.word())
        timeToLive = try reader.doubleWord()
        let length = Int(try reader.word())
        let start = reader.position
        let end = start + length
        guard end <= reader.bytes.count else { throw .truncated(offset: start) }
        data = try DNSRecordData(type: type, recordClass: recordClass, end: end, reader: &reader)
        guard reader.position == end else { throw .dataLength(type: type, offset: start) }
    }

    func write(to writer: inout DNSWriter) {
        writer.write(name, compressed: true)
        writer.write(word: data.type.rawValue)
        writer.write(word: recordClass.rawValue)
        writer.write(doubleWord: timeToLive)
        let lengthOffset = writer.bytes.count
        writer.write(word: 0)
        data.write(to: &writer)
        // A record past 65,535 octets exceeds every message too: the caller takes it back.
        writer.replaceWord(
            at: lengthOffset, with: UInt16(truncatingIfNeeded: writer.bytes.count - lengthOffset - 2))
    }
}

extension DNSRecordData {
    fileprivate init(
        type: DNSRecordType, recordClass: DNSClass, end: Int, reader: inout DNSReader
    ) throws(DNSDecodingError) {
        // The formats are those of class IN (RFC 1035, 3.4): an A record of another class looks different.
        guard recordClass == .internet else {
            self = .opaque(type, try reader.take(end - reader.position))
            return
        }
        switch type {
        case .a: self = .a(IPv4Address(rawValue: try reader.doubleWord()))
        case .aaaa: self = .aaaa(IPv6Address(rawValue: UInt128(try reader.quadWord()) << 64 | UInt128(try reader.quadWord())))
        case .ns: self = .ns(try reader.name())
        case .cname: self = .cname(try reader.name())
        case .ptr: self = .ptr(try reader.name())
        case .mx: self = .mx(preference: try reader.word(), exchange: try reader.name())
        case .soa: self = .soa(try DNSStartOfAuthority(reader: &reader))
        case .srv:
            self = .srv(
                priority: try reader.word(), weight: try reader.word(), port: try reader.word(),
                target: try reader.name())
        case .txt:
            var strings: [[UInt8]] = []
            while reader.position < end { strings.append(try reader.take(Int(try reader.octet()))) }
            self = .txt(strings)
        default: self = .opaque(type, try reader.take(end - reader.position))
        }
    }

    fileprivate func write(to writer: inout DNSWriter) {
        switch self {
        case .a(let address): writer.write(doubleWord: address.rawValue)
        case .aaaa(let address):
            writer.write(quadWord: UInt64(truncatingIfNeeded: address.rawValue >> 64))
            writer.write(quadWord: UInt64(truncatingIfNeeded: address.rawValue))
        case .ns(let name), .cname(let name), .ptr(let name): writer.write(name, compressed: true)
        case .mx(let preference, let exchange):
            writer.write(word: preference)
            writer.write(exchange, compressed: true)
        case .txt(let strings):
            for string in strings { writer.write(characterString: string) }
        case .soa(let authority): authority.write(to: &writer)
        case .srv(let priority, let weight, let port, let target):
            writer.write(word: priority)
            writer.write(word: weight)
            writer.write(word: port)
            // RFC 2782: the target is not compressed.
            writer.write(target, compressed: false)
        case .opaque(_, let octets): writer.write(octets)
        }
    }
}

extension DNSStartOfAuthority {
    fileprivate init(reader: inout DNSReader) throws(DNSDecodingError) {
        primary = try reader.name()
        mailbox = try reader.name()
        serial = try reader.doubleWord()
        refresh = try reader.doubleWord()
        retry = try reader.doubleWord()
        expire = try reader.doubleWord()
        minimum = try reader.doubleWord()
    }

    fileprivate func write(to writer: inout DNSWriter) {
        writer.write(primary, compressed: true)
        writer.write(mailbox, compressed: true)
        for value in [serial, refresh, retry, expire, minimum] { writer.write(doubleWord: value) }
    }
}
