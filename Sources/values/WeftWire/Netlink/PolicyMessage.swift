internal import CLinuxUAPI
package import WeftNet

/// A policy rule with selectors, of either family (RTM_NEWRULE).
package struct PolicyRule: Hashable, Sendable {
    package var table: UInt32
    package var priority: UInt32
    /// What comes from this address; nil: from any.
    package var source: IPAddress?
    /// What is sent by UDP from this port; nil: whatever it is.
    package var udpPort: UInt16?
    package var family: IPAddress.Family
    /// Routes as wide as the default one do not count.
    package var leavesDefault: Bool

    package init(
        table: UInt32, priority: UInt32, from source: IPAddress? = nil, udpPort: UInt16? = nil, family: IPAddress.Family,
        leavesDefault: Bool = false
    ) {
        self.table = table
        self.priority = priority
        self.source = source
        self.udpPort = udpPort
        self.family = family
        self.leavesDefault = leavesDefault
    }
}

extension NetlinkWriter {
    /// EEXIST if it is there.
    package static func addRule(_ rule: PolicyRule) -> NetlinkWriter {
        policyRequest(Int(RTM_NEWRULE), Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), rule)
    }

    /// ENOENT if it is not there.
    package static func deleteRule(_ rule: PolicyRule) -> NetlinkWriter {
        policyRequest(Int(RTM_DELRULE), Int(NLM_F_ACK), rule)
    }

    private static func policyRequest(_ type: Int, _ flags: Int, _ rule: PolicyRule) -> NetlinkWriter {
        var writer = NetlinkWriter(type: type, flags: flags)
        writer.append(UInt8(rule.family == .v4 ? WEFT_AF_INET : WEFT_AF_INET6))
        writer.append(UInt8(0))
        writer.append(UInt8(rule.source == nil ? 0 : rule.family == .v4 ? 32 : 128))
        writer.append(UInt8(0))
        writer.append(UInt8(0))  // table: FRA_TABLE has it
        writer.append(UInt16(0))
        writer.append(UInt8(FR_ACT_TO_TBL))
        writer.append(UInt32(0))
        switch rule.source {
        case .v4(let address): writer.attribute(Int(FRA_SRC), address.octets)
        case .v6(let address): writer.attribute(Int(FRA_SRC), address.octets)
        case nil: break
        }
        writer.attribute(Int(FRA_TABLE), rule.table)
        writer.attribute(Int(FRA_PRIORITY), rule.priority)
        if rule.leavesDefault { writer.attribute(Int(FRA_SUPPRESS_PREFIXLEN), UInt32(0)) }
        if let port = rule.udpPort {
            writer.attribute(Int(FRA_IP_PROTO), UInt8(17))
            writer.attribute(Int(FRA_SPORT_RANGE), UInt32(port) << 16 | UInt32(port))
        }
        return writer
    }

    /// The default route of IPv6 in a table of its own, by a gateway.
    package static func replaceDefaultRoute(table: UInt32, interface: UInt32, gateway: IPv6Address) -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_NEWROUTE), flags: Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE))
        writer.append(UInt8(WEFT_AF_INET6))
        writer.append(UInt8(0))
        writer.append(UInt8(0))
        writer.append(UInt8(0))
        writer.append(UInt8(0))
        writer.append(UInt8(RTPROT_STATIC))
        writer.append(UInt8(RT_SCOPE_UNIVERSE.rawValue))
        writer.append(UInt8(RTN_UNICAST))
        writer.append(UInt32(0))
        writer.attribute(Int(RTA_TABLE.rawValue), table)
        writer.attribute(Int(RTA_OIF.rawValue), interface)
        writer.attribute(Int(RTA_GATEWAY.rawValue), gateway.octets)
        return writer
    }
}
