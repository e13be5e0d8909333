internal import FoundationEssentials
internal import WeftModel
internal import WeftNet

/// Reads single values out of messages; nothing a peer sends makes it trap.
enum Wire {
    static func identifier<Tag>(_ text: String, _ field: String) throws(WireError) -> Identifier<Tag> {
        guard (1...128).contains(text.utf8.count) else {
            throw WireError(field: field, problem: "an id has 1 to 128 characters, this one \(text.utf8.count)")
        }
        let allowed = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard allowed else { throw WireError(field: field, problem: "an id is made of letters, digits, and -_.") }
        return Identifier(text)
    }

    static func identifiers<Tag>(_ texts: [String], _ field: String) throws(WireError) -> [Identifier<Tag>] {
        var result: [Identifier<Tag>] = []
        result.reserveCapacity(texts.count)
        for (index, text) in texts.enumerated() { result.append(try identifier(text, "\(field)[\(index)]")) }
        return result
    }

    /// Converts every element, and names the index of one that does not convert.
    static func list<From, To>(
        _ values: [From], _ field: String, _ convert: (From, String) throws(WireError) -> To
    ) throws(WireError) -> [To] {
        var result: [To] = []
        result.reserveCapacity(values.count)
        for (index, value) in values.enumerated() { result.append(try convert(value, "\(field)[\(index)]")) }
        return result
    }

    static func version(_ value: Int64, _ field: String) throws(WireError) -> Version {
        Version(try count(value, field))
    }

    static func count(_ value: Int64, _ field: String) throws(WireError) -> Int64 {
        guard value >= 0 else { throw WireError(field: field, problem: "\(value) is negative") }
        return value
    }

    /// A name that people see and that may reach a terminal: at most 255 bytes without control characters.
    static func name(_ text: String, _ field: String) throws(WireError) -> String {
        guard text.utf8.count <= 255 else { throw WireError(field: field, problem: "longer than 255 bytes") }
        let isPlain = text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        guard isPlain else { throw WireError(field: field, problem: "holds a control character") }
        return text
    }

    /// A sentence for people, which may reach a terminal: at most 1,024 bytes without control characters.
    static func sentence(_ text: String, _ field: String) throws(WireError) -> String {
        guard text.utf8.count <= 1024 else { throw WireError(field: field, problem: "longer than 1024 bytes") }
        let isPlain = text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        guard isPlain else { throw WireError(field: field, problem: "holds a control character") }
        return text
    }

    static func prefix(_ wire: Weft_V1_Prefix, _ field: String) throws(WireError) -> IPv4Prefix {
        guard !wire.hasNetwork6 else { throw WireError(field: field, problem: "a prefix of IPv6 where IPv4 belongs") }
        return try prefix(IPv4Address(rawValue: wire.network), wire.length, field)
    }

    static func prefix6(_ wire: Weft_V1_Prefix, _ field: String) throws(WireError) -> IPv6Prefix {
        guard wire.hasNetwork6 else { throw WireError(field: field, problem: "a prefix of IPv4 where IPv6 belongs") }
        return try prefix(ipv6(wire.network6, field), wire.length, field)
    }

    static func anyPrefix(_ wire: Weft_V1_Prefix, _ field: String) throws(WireError) -> AnyIPPrefix {
        wire.hasNetwork6 ? .v6(try prefix6(wire, field)) : .v4(try prefix(wire, field))
    }

    private static func prefix<Address: IPAddressProtocol>(
        _ address: Address, _ length: UInt32, _ field: String
    ) throws(WireError) -> IPPrefix<Address> {
        guard let length = Int(exactly: length), let prefix = IPPrefix(address, length: length) else {
            throw WireError(field: field, problem: "a prefix of \(length) bits; there are 0 to \(address.width)")
        }
        guard prefix.network == address else {
            throw WireError(field: field, problem: "\(address)/\(length) has bits set outside its prefix")
        }
        return prefix
    }

    static func ipv6(_ octets: Data, _ field: String) throws(WireError) -> IPv6Address {
        guard let address = IPv6Address(octets: octets) else {
            throw WireError(field: field, problem: "an IPv6 address has 16 octets, this one \(octets.count)")
        }
        return address
    }

    /// The address named of a subnet, nil for any; it is of the subnet's family.
    static func address(
        of subnet: SubnetID, _ ipv4: UInt32?, _ ipv6: Data?, _ field: String
    ) throws(WireError) -> IPAddress? {
        var address = ipv4.map { IPAddress.v4(IPv4Address(rawValue: $0)) }
        if let ipv6 { address = .v6(try self.ipv6(ipv6, "\(field).address6")) }
        guard address?.family ?? subnet.family == subnet.family else {
            throw WireError(field: field, problem: "an address that is none of \(subnet.family)")
        }
        return address
    }

    static func mac(_ value: UInt64, _ field: String) throws(WireError) -> MACAddress {
        guard value >> 48 == 0 else { throw WireError(field: field, problem: "more than 48 bits") }
        return MACAddress(rawValue: value)
    }

    static func vni(_ value: UInt32, _ field: String) throws(WireError) -> VNI {
        guard let vni = VNI(value) else { throw WireError(field: field, problem: "\(value) is not a 24-bit VNI") }
        return vni
    }

    static func require<Value>(_ present: Bool, _ value: Value, _ field: String) throws(WireError) -> Value {
        guard present else { throw WireError(field: field, problem: "missing") }
        return value
    }
}

extension Weft_V1_Prefix {
    init(_ prefix: IPv4Prefix) {
        self.init()
        network = prefix.network.rawValue
        length = UInt32(prefix.length)
    }

    init(_ prefix: IPv6Prefix) {
        self.init()
        network6 = Data(prefix.network.octets)
        length = UInt32(prefix.length)
    }

    init(_ prefix: AnyIPPrefix) {
        if let prefix = prefix.v4 {
            self.init(prefix)
        } else if let prefix = prefix.v6 {
            self.init(prefix)
        } else {
            self.init()
        }
    }
}
