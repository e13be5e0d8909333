/// Which program sits at an interface's ingress.
package enum AttachmentRole: String, Sendable, Hashable, CaseIterable {
    /// The host end of an endpoint's veth.
    case endpoint
    /// The interface that leads to the other nodes.
    case underlay
    /// The collect_md vxlan device, for what the underlay's program leaves to the stack.
    case vxlan
    /// The device of what encrypts.
    case tunnel
    /// Any other interface of the host by which clients of published ports come.
    case outside
    /// The same, of an interface whose frames begin with the IP header.
    case bare

    var program: String {
        switch self {
        case .endpoint: "weft_from_container"
        case .underlay: "weft_from_underlay"
        case .vxlan: "weft_from_vxlan"
        case .tunnel: "weft_from_tunnel"
        case .outside: "weft_from_outside"
        case .bare: "weft_from_bare"
        }
    }

    init?(program: String) {
        guard let role = Self.allCases.first(where: { $0.program == program }) else { return nil }
        self = role
    }
}
