/// Which program sits at an interface's ingress.
package enum AttachmentRole: String, Sendable, Hashable, CaseIterable {
    /// The host end of an endpoint's veth.
    case endpoint
    /// The interface that leads to the other nodes.
    case underlay
    /// The collect_md vxlan device, for what the underlay's program leaves to the stack.
    case vxlan

    var program: String {
        switch self {
        case .endpoint: "weft_from_container"
        case .underlay: "weft_from_underlay"
        case .vxlan: "weft_from_vxlan"
        }
    }

    init?(program: String) {
        guard let role = Self.allCases.first(where: { $0.program == program }) else { return nil }
        self = role
    }
}

/// The maps, by their names in the object file and in the pin directory.
enum MapName: String, CaseIterable {
    case config = "weft_config"
    case endpoint = "weft_endpoint"
    case forward = "weft_forward"
    case forward6 = "weft_forward6"
    case vtep = "weft_vtep"
    case subnet = "weft_subnet"
    case subnet6 = "weft_subnet6"
    case counter = "weft_counter"
    case resolverRound = "weft_resolver_round"
    case resolverShare = "weft_resolver_share"
}

/// The most entries that each map takes. Changing a size makes the maps anew at the next start.
package struct MapSizes: Sendable, Hashable {
    package var endpoints: UInt32
    package var forwardEntries: UInt32
    package var forward6Entries: UInt32
    package var vteps: UInt32
    package var subnets: UInt32

    package init(
        endpoints: UInt32, forwardEntries: UInt32, forward6Entries: UInt32, vteps: UInt32, subnets: UInt32
    ) {
        self.endpoints = endpoints
        self.forwardEntries = forwardEntries
        self.forward6Entries = forward6Entries
        self.vteps = vteps
        self.subnets = subnets
    }

    func entries(of map: MapName) -> UInt32 {
        switch map {
        case .config: 1
        case .endpoint: endpoints
        case .forward: forwardEntries
        case .forward6: forward6Entries
        case .vtep: vteps
        case .subnet, .subnet6: subnets
        case .counter: endpoints + 1
        case .resolverRound: UInt32(ResolverTransport.allCases.count)
        case .resolverShare: endpoints * UInt32(ResolverTransport.allCases.count)
        }
    }
}
