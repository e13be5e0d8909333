internal import CLinuxUAPI
package import WeftNet

/// A table of nftables that leads the connections of its namespace's own processes to one port elsewhere: UDP and TCP alike.
///
/// The table belongs to the socket that made it (NFT_TABLE_F_OWNER, Linux 5.12), and goes with that socket: whatever becomes of
/// the process that answers at the other port, nothing is led there once it is gone.
package struct RedirectionTable: Hashable, Sendable {
    package var name: String
    /// Where the connections were to go.
    package var address: IPv4Address
    package var port: UInt16
    /// The port of the same address where they go instead.
    package var target: UInt16
    /// Packets with this mark are left alone.
    package var exemptMark: UInt32
    /// Among the chains of nat at the output hook, of which the first that translates a connection is the only one.
    package var priority: Int32

    package init(name: String, address: IPv4Address, port: UInt16, target: UInt16, exemptMark: UInt32, priority: Int32) {
        self.name = name
        self.address = address
        self.port = port
        self.target = target
        self.exemptMark = exemptMark
        self.priority = priority
    }

    private static let chain = "output"
    /// IPPROTO_UDP and IPPROTO_TCP.
    private static let protocols: [UInt8] = [17, 6]

    /// The batch that makes the table, in place of one of its name that belongs to nobody.
    package var batch: [NetlinkWriter] {
        let bounds = UInt16(NFNL_SUBSYS_NFTABLES)
        var messages = [
            NetlinkWriter(netfilter: Int(NFNL_MSG_BATCH_BEGIN), family: WEFT_AF_UNSPEC, resource: bounds),
            // Declaring it first makes the deletion valid when it does not exist.
            table(NFT_MSG_NEWTABLE, flags: nil), table(NFT_MSG_DELTABLE, flags: nil),
            table(NFT_MSG_NEWTABLE, flags: UInt32(NFT_TABLE_F_OWNER.rawValue)), chain,
        ]
        for number in Self.protocols { messages.append(rule(number, isLast: number == Self.protocols.last)) }
        messages.append(NetlinkWriter(netfilter: Int(NFNL_MSG_BATCH_END), family: WEFT_AF_UNSPEC, resource: bounds))
        return messages
    }

    private func table(_ type: nf_tables_msg_types, flags: UInt32?) -> NetlinkWriter {
        var writer = NetlinkWriter(tables: type, flags: type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0)
        writer.attribute(Int(NFTA_TABLE_NAME.rawValue), text: name)
        if let flags { writer.attribute(Int(NFTA_TABLE_FLAGS.rawValue), flags.bigEndian) }
        return writer
    }

    private var chain: NetlinkWriter {
        var writer = NetlinkWriter(tables: NFT_MSG_NEWCHAIN, flags: NLM_F_CREATE)
        writer.attribute(Int(NFTA_CHAIN_TABLE.rawValue), text: name)
        writer.attribute(Int(NFTA_CHAIN_NAME.rawValue), text: Self.chain)
        writer.nested(Int(NFTA_CHAIN_HOOK.rawValue)) { hook in
            hook.attribute(Int(NFTA_HOOK_HOOKNUM.rawValue), UInt32(WEFT_NF_INET_LOCAL_OUT).bigEndian)
            hook.attribute(Int(NFTA_HOOK_PRIORITY.rawValue), priority.bigEndian)
        }
        writer.attribute(Int(NFTA_CHAIN_POLICY.rawValue), UInt32(WEFT_NF_ACCEPT).bigEndian)
        writer.attribute(Int(NFTA_CHAIN_TYPE.rawValue), text: "nat")
        return writer
    }

    /// `ip daddr ADDRESS PROTOCOL dport PORT meta mark != MARK dnat to ADDRESS:TARGET`.
    private func rule(_ number: UInt8, isLast: Bool) -> NetlinkWriter {
        let flags = NLM_F_CREATE | NLM_F_APPEND | (isLast ? NLM_F_ACK : 0)
        var writer = NetlinkWriter(tables: NFT_MSG_NEWRULE, flags: flags)
        writer.attribute(Int(NFTA_RULE_TABLE.rawValue), text: name)
        writer.attribute(Int(NFTA_RULE_CHAIN.rawValue), text: Self.chain)
        writer.nested(Int(NFTA_RULE_EXPRESSIONS.rawValue)) { rule in
            // Offsets in the headers of IPv4, and of UDP and TCP.
            rule.payload(NFT_PAYLOAD_NETWORK_HEADER, offset: 16, count: 4)
            rule.compare(NFT_CMP_EQ, address.rawValue.bigEndian)
            rule.meta(NFT_META_L4PROTO)
            rule.compare(NFT_CMP_EQ, number)
            rule.payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, count: 2)
            rule.compare(NFT_CMP_EQ, port.bigEndian)
            rule.meta(NFT_META_MARK)
            rule.compare(NFT_CMP_NEQ, exemptMark)
            rule.immediate(NFT_REG_1, address.rawValue.bigEndian)
            rule.immediate(NFT_REG_2, target.bigEndian)
            rule.expression("nat") { nat in
                nat.attribute(Int(NFTA_NAT_TYPE.rawValue), UInt32(NFT_NAT_DNAT.rawValue).bigEndian)
                nat.attribute(Int(NFTA_NAT_FAMILY.rawValue), UInt32(WEFT_AF_INET).bigEndian)
                nat.attribute(Int(NFTA_NAT_REG_ADDR_MIN.rawValue), UInt32(NFT_REG_1.rawValue).bigEndian)
                nat.attribute(Int(NFTA_NAT_REG_PROTO_MIN.rawValue), UInt32(NFT_REG_2.rawValue).bigEndian)
            }
        }
        return writer
    }
}

extension NetlinkWriter {
    /// A message of nfnetlink: behind the header a `struct nfgenmsg`.
    fileprivate init(netfilter type: Int, flags: Int = 0, family: Int, resource: UInt16 = 0) {
        self.init(type: type, flags: flags)
        append(UInt8(family))
        append(UInt8(NFNETLINK_V0))
        append(resource.bigEndian)
    }

    fileprivate init(tables type: nf_tables_msg_types, flags: Int32) {
        self.init(netfilter: Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(type.rawValue), flags: Int(flags), family: WEFT_AF_INET)
    }

    fileprivate mutating func nested(_ type: Int, _ body: (inout NetlinkWriter) -> Void) {
        nest(type | Int(NLA_F_NESTED), body)
    }

    /// One expression of a rule.
    fileprivate mutating func expression(_ name: String, _ body: (inout NetlinkWriter) -> Void) {
        nested(Int(NFTA_LIST_ELEM.rawValue)) { element in
            element.attribute(Int(NFTA_EXPR_NAME.rawValue), text: name)
            element.nested(Int(NFTA_EXPR_DATA.rawValue), body)
        }
    }

    /// Loads a part of the packet into the first register.
    fileprivate mutating func payload(_ base: nft_payload_bases, offset: UInt32, count: UInt32) {
        expression("payload") { load in
            load.attribute(Int(NFTA_PAYLOAD_DREG.rawValue), UInt32(NFT_REG_1.rawValue).bigEndian)
            load.attribute(Int(NFTA_PAYLOAD_BASE.rawValue), UInt32(base.rawValue).bigEndian)
            load.attribute(Int(NFTA_PAYLOAD_OFFSET.rawValue), offset.bigEndian)
            load.attribute(Int(NFTA_PAYLOAD_LEN.rawValue), count.bigEndian)
        }
    }

    /// Loads what is known of the packet into the first register.
    fileprivate mutating func meta(_ key: nft_meta_keys) {
        expression("meta") { load in
            load.attribute(Int(NFTA_META_DREG.rawValue), UInt32(NFT_REG_1.rawValue).bigEndian)
            load.attribute(Int(NFTA_META_KEY.rawValue), UInt32(key.rawValue).bigEndian)
        }
    }

    /// Goes on if the first register holds `value`, or holds another one.
    fileprivate mutating func compare(_ operation: nft_cmp_ops, _ value: some FixedWidthInteger) {
        expression("cmp") { comparison in
            comparison.attribute(Int(NFTA_CMP_SREG.rawValue), UInt32(NFT_REG_1.rawValue).bigEndian)
            comparison.attribute(Int(NFTA_CMP_OP.rawValue), UInt32(operation.rawValue).bigEndian)
            comparison.nested(Int(NFTA_CMP_DATA.rawValue)) { $0.attribute(Int(NFTA_DATA_VALUE.rawValue), value) }
        }
    }

    fileprivate mutating func immediate(_ register: nft_registers, _ value: some FixedWidthInteger) {
        expression("immediate") { load in
            load.attribute(Int(NFTA_IMMEDIATE_DREG.rawValue), UInt32(register.rawValue).bigEndian)
            load.nested(Int(NFTA_IMMEDIATE_DATA.rawValue)) { $0.attribute(Int(NFTA_DATA_VALUE.rawValue), value) }
        }
    }
}
