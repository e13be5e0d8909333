internal import CLinuxUAPI

/// An IPv4 policy rule without selector: "look into this table" (RTM_NEWRULE).
package struct RuleMessage: Hashable, Sendable {
    package var table: UInt32
    package var priority: UInt32

    package init(table: UInt32, priority: UInt32) {
        self.table = table
        self.priority = priority
    }

    /// Nil when the message is no IPv4 table rule or malformed. Selectors are not read.
    package init?(_ message: NetlinkMessage) {
        guard message.type == Int(RTM_NEWRULE) else { return nil }
        var reader = NetlinkReader(message.payload)
        guard reader.integer(UInt8.self) == UInt8(WEFT_AF_INET), reader.take(3) != nil,
            let table = reader.integer(UInt8.self), reader.take(2) != nil,
            reader.integer(UInt8.self) == UInt8(FR_ACT_TO_TBL), reader.take(4) != nil,
            let attributes = NetlinkAttributes(reader.rest)
        else { return nil }
        self.init(
            table: attributes.integer(Int(FRA_TABLE)) ?? UInt32(table),
            priority: attributes.integer(Int(FRA_PRIORITY)) ?? 0)
    }
}

extension NetlinkWriter {
    /// All IPv4 policy rules.
    package static func dumpRules() -> NetlinkWriter {
        var writer = NetlinkWriter(type: Int(RTM_GETRULE), flags: Int(NLM_F_DUMP))
        writer.appendRuleHeader(action: 0)
        return writer
    }

    /// EEXIST if it is there.
    package static func addRule(_ rule: RuleMessage) -> NetlinkWriter {
        ruleRequest(Int(RTM_NEWRULE), Int(NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), rule)
    }

    /// ENOENT if it is not there.
    package static func deleteRule(_ rule: RuleMessage) -> NetlinkWriter {
        ruleRequest(Int(RTM_DELRULE), Int(NLM_F_ACK), rule)
    }

    private static func ruleRequest(_ type: Int, _ flags: Int, _ rule: RuleMessage) -> NetlinkWriter {
        var writer = NetlinkWriter(type: type, flags: flags)
        writer.appendRuleHeader(action: UInt8(FR_ACT_TO_TBL))
        writer.attribute(Int(FRA_TABLE), rule.table)
        writer.attribute(Int(FRA_PRIORITY), rule.priority)
        return writer
    }

    private mutating func appendRuleHeader(action: UInt8) {
        append(UInt8(WEFT_AF_INET))
        append(UInt8(0))
        append(UInt8(0))
        append(UInt8(0))
        append(UInt8(0))  // table: FRA_TABLE has it
        append(UInt16(0))
        append(action)
        append(UInt32(0))
    }
}
