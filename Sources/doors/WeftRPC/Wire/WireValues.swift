internal import FoundationEssentials
internal import WeftModel
internal import WeftNet

/// Reads single values out of messages; nothing a peer sends makes it trap.
enum Wire {
    static func identifier<Tag>(_ text: String, _ field: String) throws(WireError) -> Identifier<Tag> {
        guard (1...Bounds.idBytes).contains(text.utf8.count) else {
            throw WireError(
                field: field, problem: "an id has 1 to \(Bounds.idBytes) characters, this one \(text.utf8.count)")
        }
        guard Bounds.isID(text) else {
            throw WireError(field: field, problem: "an id is made of letters, digits, and -_.")
        }
        return Identifier(text)
    }

    static func identifiers<Tag>(
        _ texts: [String], _ field: String, _ skipped: inout [WireError]
    ) -> [Identifier<Tag>] {
        list(texts, field, &skipped) { text, field throws(WireError) in try identifier(text, field) }
    }

    /// Ids of any kind.
    static func ids<ID: ObjectID>(_ texts: [String], _ field: String, _ skipped: inout [WireError]) -> [ID] {
        list(texts, field, &skipped) { text, field throws(WireError) in
            guard ID.isValid(text) else {
                throw WireError(field: field, problem: "\(shown(text, max: Bounds.idBytes)) can be no object's id")
            }
            return ID(text)
        }
    }

    /// Converts every element. One that does not convert is left out, and noted with its index: the others do not suffer
    /// for it.
    static func list<From, To>(
        _ values: [From], _ field: String, _ skipped: inout [WireError], object: (From) -> String? = { _ in nil },
        _ convert: (From, String) throws(WireError) -> To
    ) -> [To] {
        var result: [To] = []
        result.reserveCapacity(values.count)
        for (index, value) in values.enumerated() {
            do throws(WireError) { result.append(try convert(value, "\(field)[\(index)]")) } catch {
                var error = error
                error.object = object(value).map { shown($0, max: Bounds.idBytes) }
                note(error, in: &skipped)
            }
        }
        return result
    }

    /// So many errors of one message are listed; a message of the largest size holds a million of them.
    static let skippedMax = 16

    /// Lists an error, or counts it at the last one listed.
    static func note(_ error: WireError, in skipped: inout [WireError]) {
        if skipped.count < skippedMax { return skipped.append(error) }
        skipped[skipped.count - 1].others += 1 + error.others
    }

    static func version(_ value: Int64, _ field: String) throws(WireError) -> Version {
        Version(try count(value, field))
    }

    static func count(_ value: Int64, _ field: String) throws(WireError) -> Int64 {
        guard value >= 0 else { throw WireError(field: field, problem: "\(value) is negative") }
        return value
    }

    /// A name that people see and that may reach a terminal: of bounded length, without control characters.
    static func name(_ text: String, _ field: String) throws(WireError) -> String {
        guard text.utf8.count <= Bounds.nameBytes else {
            throw WireError(field: field, problem: "longer than \(Bounds.nameBytes) bytes")
        }
        guard isPlain(text) else { throw WireError(field: field, problem: "holds a control character") }
        return text
    }

    /// The same of what is only shown: it is made to fit.
    static func shown(_ text: String, max: Int = Bounds.nameBytes) -> String {
        if text.utf8.count <= max, isPlain(text) { return text }
        var result = ""
        var size = 0
        for scalar in text.unicodeScalars where scalar.properties.generalCategory != .control {
            size += UTF8.width(scalar)
            if size > max { break }
            result.unicodeScalars.append(scalar)
        }
        return result
    }

    private static func isPlain(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
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
