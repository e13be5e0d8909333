/// A record or query type (RFC 1035, 3.2.2 and 3.2.3).
package struct DNSRecordType: Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let a = DNSRecordType(rawValue: 1)
    package static let ns = DNSRecordType(rawValue: 2)
    package static let cname = DNSRecordType(rawValue: 5)
    package static let soa = DNSRecordType(rawValue: 6)
    package static let ptr = DNSRecordType(rawValue: 12)
    package static let mx = DNSRecordType(rawValue: 15)
    package static let txt = DNSRecordType(rawValue: 16)
    /// RFC 3596.
    package static let aaaa = DNSRecordType(rawValue: 28)
    /// RFC 2782.
    package static let srv = DNSRecordType(rawValue: 33)
    /// RFC 6891.
    package static let opt = DNSRecordType(rawValue: 41)
    /// Incremental zone transfer (RFC 1995).
    package static let ixfr = DNSRecordType(rawValue: 251)
    /// Zone transfer.
    package static let axfr = DNSRecordType(rawValue: 252)
    /// Any type (`*`).
    package static let any = DNSRecordType(rawValue: 255)
}

/// A record or query class (RFC 1035, 3.2.4).
package struct DNSClass: Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let internet = DNSClass(rawValue: 1)
    package static let chaos = DNSClass(rawValue: 3)
}

/// What a query asks (RFC 1035, 4.1.2).
package struct DNSQuestion: Hashable, Sendable {
    package var name: DNSName
    package var type: DNSRecordType
    package var recordClass: DNSClass

    package init(name: DNSName, type: DNSRecordType, recordClass: DNSClass = .internet) {
        self.name = name
        self.type = type
        self.recordClass = recordClass
    }
}
