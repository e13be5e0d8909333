internal import CLinuxUAPI
package import WeftNet

/// An interface's IPv4 address (RTM_NEWADDR).
package struct AddressMessage: Hashable, Sendable {
    package var interface: UInt32
    package var address: IPv4Address
    package var prefixLength: Int

    package init(interface: UInt32, address: IPv4Address, prefixLength: Int) {
        self.interface = interface
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Nil when the message is no IPv4 address or malformed.
    package init?(_ message: NetlinkMessage) {
        guard let parts = AddressParts(message, family: UInt8(WEFT_AF_INET)), parts.length <= 32,
            let address = IPv4Address(octets: parts.octets)
        else { return nil }
        self.init(interface: parts.interface, address: address, prefixLength: parts.length)
    }
}

/// An interface's IPv6 address (RTM_NEWADDR).
package struct IPv6AddressMessage: Hashable, Sendable {
    package var interface: UInt32
    package var address: IPv6Address
    package var prefixLength: Int

    package init(interface: UInt32, address: IPv6Address, prefixLength: Int) {
        self.interface = interface
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Nil when the message is no IPv6 address or malformed.
    package init?(_ message: NetlinkMessage) {
        guard let parts = AddressParts(message, family: UInt8(WEFT_AF_INET6)), parts.length <= 128,
            let address = IPv6Address(octets: parts.octets)
        else { return nil }
        self.init(interface: parts.interface, address: address, prefixLength: parts.length)
    }
}

/// What the message holds of an address of either family.
private struct AddressParts {
    let interface: UInt32
    let length: Int
    let octets: ArraySlice<UInt8>

    init?(_ message: NetlinkMessage, family: UInt8) {
        guard message.type == Int(RTM_NEWADDR) else { return nil }
        var reader = NetlinkReader(message.payload)
        guard reader.integer(UInt8.self) == family, let length = reader.integer(UInt8.self), reader.take(2) != nil,
            let index = reader.integer(UInt32.self), let attributes = NetlinkAttributes(reader.rest),
            let octets = attributes[Int(IFA_LOCAL)] ?? attributes[Int(IFA_ADDRESS)]
        else { return nil }
        interface = index
        self.length = Int(length)
        self.octets = octets
    }
}

extension NetlinkWriter {
    /// All IPv4 addresses of the namespace.
    package static func dumpAddresses() -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETADDR), flags: Int(NLM_F_DUMP))
        writer.appendAddressHeader(length: 0, interface: 0)
        return writer
    }

    /// All IPv6 addresses of the namespace.
    package static func dumpIPv6Addresses() -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETADDR), flags: Int(NLM_F_DUMP))
        writer.appendAddressHeader(family: WEFT_AF_INET6, length: 0, interface: 0)
        return writer
    }

    /// EEXIST if it is there.
    package static func addAddress(_ address: AddressMessage) -> NetlinkWriter {
        addressRequest(Int(RTM_NEWADDR), Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), address)
    }

    /// EEXIST if it is there. The address is usable at once, as duplicates are not looked for (`nodad`).
    package static func addAddress(_ address: IPv6AddressMessage) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_NEWADDR), flags: Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL))
        writer.appendAddressHeader(
            family: WEFT_AF_INET6, length: address.prefixLength, flags: UInt8(IFA_F_NODAD), interface: address.interface)
        writer.attribute(Int(IFA_LOCAL), address.address.octets)
        writer.attribute(Int(IFA_ADDRESS), address.address.octets)
        return writer
    }

    /// EADDRNOTAVAIL if it is not there.
    package static func deleteAddress(_ address: AddressMessage) -> NetlinkWriter {
        addressRequest(Int(RTM_DELADDR), Int(NLM_F_ACK), address)
    }

    private static func addressRequest(_ type: Int, _ flags: Int, _ address: AddressMessage) -> NetlinkWriter {
        var writer = NetlinkWriter(type: type, flags: flags)
        writer.appendAddressHeader(length: address.prefixLength, interface: address.interface)
        writer.attribute(Int(IFA_LOCAL), address.address.octets)
        writer.attribute(Int(IFA_ADDRESS), address.address.octets)
        return writer
    }

    private mutating func appendAddressHeader(
        family: some BinaryInteger = WEFT_AF_INET, length: Int, flags: UInt8 = 0, interface: UInt32
    ) {
        append(UInt8(family))
        append(UInt8(clamping: length))
        append(flags)
        append(UInt8(0))
        append(interface)
    }
}
