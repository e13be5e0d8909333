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
        guard message.type == Int(RTM_NEWADDR) else { return nil }
        var reader = NetlinkReader(message.payload)
        guard reader.integer(UInt8.self) == UInt8(WEFT_AF_INET), let length = reader.integer(UInt8.self), length <= 32,
            reader.take(2) != nil, let index = reader.integer(UInt32.self),
            let attributes = NetlinkAttributes(reader.rest),
            let octets = attributes[Int(IFA_LOCAL)] ?? attributes[Int(IFA_ADDRESS)],
            let address = IPv4Address(octets: octets)
        else { return nil }
        self.init(interface: index, address: address, prefixLength: Int(length))
    }
}

extension NetlinkWriter {
    /// All IPv4 addresses of the namespace.
    package static func dumpAddresses() -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETADDR), flags: Int(NLM_F_DUMP))
        writer.appendAddressHeader(length: 0, interface: 0)
        return writer
    }

    /// EEXIST if it is there.
    package static func addAddress(_ address: AddressMessage) -> NetlinkWriter {
        addressRequest(Int(RTM_NEWADDR), Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), address)
    }

    /// An IPv6 address; EEXIST if it is there. Usable at once, as duplicates are not looked for (`nodad`).
    package static func addAddress(_ address: IPv6Address, prefixLength: Int, interface: UInt32) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_NEWADDR), flags: Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL))
        writer.appendAddressHeader(
            family: WEFT_AF_INET6, length: prefixLength, flags: UInt8(IFA_F_NODAD), interface: interface)
        writer.attribute(Int(IFA_LOCAL), address.octets)
        writer.attribute(Int(IFA_ADDRESS), address.octets)
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
