internal import CLinuxUAPI

/// One message as the kernel sent it.
package struct NetlinkMessage {
    package let type: Int
    package let flags: Int
    package let sequence: UInt32
    /// What follows the 16-byte header.
    package let payload: ArraySlice<UInt8>

    /// Splits a datagram into its messages; nil when a length is impossible.
    package static func parse(_ datagram: [UInt8]) -> [NetlinkMessage]? {
        var messages: [NetlinkMessage] = []
        var reader = NetlinkReader(datagram[...])
        while !reader.rest.isEmpty {
            guard let length = reader.integer(UInt32.self), length >= 16, let type = reader.integer(UInt16.self),
                let flags = reader.integer(UInt16.self), let sequence = reader.integer(UInt32.self),
                reader.integer(UInt32.self) != nil, let payload = reader.take(Int(length) - 16)
            else { return nil }
            messages.append(NetlinkMessage(type: Int(type), flags: Int(flags), sequence: sequence, payload: payload))
            reader.skip((4 - payload.count % 4) % 4)
        }
        return messages
    }

    /// What a message means to the one who asked.
    package enum Meaning {
        /// One object of a dump, or the answer to a get.
        case object
        /// The request was carried out, or a dump ended well.
        case success
        /// errno, and the kernel's own words where it has any (NETLINK_EXT_ACK).
        case failure(Int32, String?)
        /// No meaning to a request.
        case noise
    }

    /// Nil when the message is malformed.
    package var meaning: Meaning? {
        switch type {
        case Int(NLMSG_NOOP): return .noise
        case Int(NLMSG_DONE):
            var reader = NetlinkReader(payload)
            guard let code = reader.integer(Int32.self), code < 0 else { return .success }
            return .failure(code == .min ? .max : -code, nil)
        case Int(NLMSG_ERROR):
            var reader = NetlinkReader(payload)
            guard let code = reader.integer(Int32.self), let length = reader.integer(UInt32.self) else { return nil }
            if code == 0 { return .success }
            // The request is repeated after the code, header only when the acknowledgement is capped.
            let capped = flags & Int(NLM_F_CAPPED) != 0
            reader.skip(capped ? 12 : Int(length) - 4)
            let words = flags & Int(NLM_F_ACK_TLVS) == 0 ? nil : NetlinkAttributes(reader.rest)
            return .failure(code == .min ? .max : -code, words?.text(Int(NLMSGERR_ATTR_MSG.rawValue)))
        case ..<Int(NLMSG_MIN_TYPE): return .noise
        default: return .object
        }
    }

    /// True when the kernel's tables changed during the dump: it must be repeated.
    package var isInterruptedDump: Bool { flags & Int(NLM_F_DUMP_INTR) != 0 }
}
