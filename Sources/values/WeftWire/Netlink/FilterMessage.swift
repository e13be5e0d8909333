internal import CLinuxUAPI

/// A BPF program at an interface's ingress, as a filter of its clsact queueing discipline (RTM_NEWTFILTER).
/// The program's return value is the verdict ("direct action"), for packets of every protocol.
package struct FilterMessage: Hashable, Sendable {
    package var interface: UInt32
    /// Filters of a lower one see a packet first.
    package var priority: UInt16
    /// Tells filters of one priority apart; never 0.
    package var handle: UInt32
    /// What listings show.
    package var name: String

    package init(interface: UInt32, priority: UInt16, handle: UInt32, name: String) {
        self.interface = interface
        self.priority = priority
        self.handle = handle
        self.name = name
    }

    /// Nil when the message is no filter of this kind or malformed.
    package init?(_ message: NetlinkMessage) {
        guard message.type == Int(RTM_NEWTFILTER) else { return nil }
        var reader = NetlinkReader(message.payload)
        guard reader.take(4) != nil, let interface = reader.integer(UInt32.self),
            // A dump describes what filters of one priority have in common as a filter without a handle.
            let handle = reader.integer(UInt32.self), handle != 0,
            reader.take(4) != nil, let info = reader.integer(UInt32.self),
            let attributes = NetlinkAttributes(reader.rest), attributes.text(Int(TCA_KIND)) == Self.kind,
            let options = attributes.nested(Int(TCA_OPTIONS))
        else { return nil }
        self.init(
            interface: interface, priority: UInt16(truncatingIfNeeded: info >> 16), handle: handle,
            name: options.text(Int(TCA_BPF_NAME)) ?? "")
    }

    fileprivate static let kind = "bpf"
}

/// Where a clsact queueing discipline has filters.
package enum FilterHook: Hashable, Sendable, CaseIterable {
    case ingress
    case egress

    fileprivate var parent: UInt32 {
        let minor =
            switch self {
            case .ingress: UInt32(TC_H_MIN_INGRESS)
            case .egress: UInt32(TC_H_MIN_EGRESS)
            }
        return clsact | minor
    }
}

/// The major number that the kernel gives to every clsact, and the older "ingress".
private let clsact: UInt32 = 0xffff_0000
private let clsactKind = "clsact"

extension NetlinkWriter {
    /// Gives the interface a clsact queueing discipline; EEXIST if it has one.
    package static func addClsact(interface: UInt32) -> NetlinkWriter {
        clsactRequest(Int(RTM_NEWQDISC), Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), interface)
    }

    /// Takes it away with all its filters.
    package static func deleteClsact(interface: UInt32) -> NetlinkWriter {
        clsactRequest(Int(RTM_DELQDISC), Int(NLM_F_ACK), interface)
    }

    /// Puts a program at an interface. One that is there with this priority and handle is replaced, and no packet passes in between;
    /// if there is none: ENOENT, unless `mayCreate`.
    package static func putFilter(_ filter: FilterMessage, program: Int32, mayCreate: Bool) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_NEWTFILTER), flags: Int(mayCreate ? NLM_F_ACK | NLM_F_CREATE : NLM_F_ACK))
        writer.appendFilterHeader(filter)
        writer.nest(Int(TCA_OPTIONS)) { options in
            options.attribute(Int(TCA_BPF_FD), UInt32(bitPattern: program))
            options.attribute(Int(TCA_BPF_NAME), text: filter.name)
            options.attribute(Int(TCA_BPF_FLAGS), UInt32(TCA_BPF_FLAG_ACT_DIRECT))
        }
        return writer
    }

    /// ENOENT if it is not there, EINVAL if the interface has no clsact.
    package static func deleteFilter(_ filter: FilterMessage) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_DELTFILTER), flags: Int(NLM_F_ACK))
        writer.appendFilterHeader(filter)
        return writer
    }

    /// All filters of one hook of one interface, of any kind.
    package static func dumpFilters(interface: UInt32, at hook: FilterHook) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETTFILTER), flags: Int(NLM_F_DUMP))
        writer.appendTrafficControlHeader(interface: interface, handle: 0, parent: hook.parent, info: 0)
        return writer
    }

    private static func clsactRequest(_ type: Int, _ flags: Int, _ interface: UInt32) -> NetlinkWriter {
        var writer = NetlinkWriter(type: type, flags: flags)
        writer.appendTrafficControlHeader(interface: interface, handle: clsact, parent: UInt32(TC_H_CLSACT), info: 0)
        writer.attribute(Int(TCA_KIND), text: clsactKind)
        return writer
    }

    private mutating func appendFilterHeader(_ filter: FilterMessage) {
        let everyProtocol = UInt32(UInt16(ETH_P_ALL).bigEndian)
        appendTrafficControlHeader(
            interface: filter.interface, handle: filter.handle, parent: FilterHook.ingress.parent,
            info: UInt32(filter.priority) << 16 | everyProtocol)
        attribute(Int(TCA_KIND), text: FilterMessage.kind)
    }

    private mutating func appendTrafficControlHeader(interface: UInt32, handle: UInt32, parent: UInt32, info: UInt32) {
        append(UInt8(WEFT_AF_UNSPEC))
        append(UInt8(0))
        append(UInt16(0))
        append(interface)
        append(handle)
        append(parent)
        append(info)
    }
}
