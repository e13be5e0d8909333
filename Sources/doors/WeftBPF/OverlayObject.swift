extension ObjectDeclaration {
    /// The overlay's data plane, bpf/overlay.bpf.c.
    static func overlay(_ sizes: MapSizes) -> ObjectDeclaration {
        ObjectDeclaration(
            name: "overlay", code: overlayObjectHex,
            maps: MapName.allCases.map { MapDeclaration($0.rawValue, entries: sizes.entries(of: $0)) },
            programs: AttachmentRole.allCases.map(\.program))
    }
}

extension BPFObject {
    func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        _ name: MapName, _: Key.Type, _: Value.Type
    ) throws(BPFError) -> BPFMap<Key, Value> {
        try map(name.rawValue, Key.self, Value.self)
    }
}

/// The overlay's maps, by their names in the object file and in the pin directory.
enum MapName: String, CaseIterable {
    case config = "weft_config"
    case endpoint = "weft_endpoint"
    case forward = "weft_forward"
    case forward6 = "weft_forward6"
    case vtep = "weft_vtep"
    case subnet = "weft_subnet"
    case subnet6 = "weft_subnet6"
    case service = "weft_service"
    case servicePage = "weft_service_page"
    case backend = "weft_backend"
    case flow = "weft_flow"
    case former = "weft_former"
    case ingress = "weft_ingress"
    case published = "weft_published"
    case source = "weft_source"
    case hostAddress = "weft_host_address"
    case ingressFlow = "weft_ingress_flow"
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
    package var services: UInt32
    package var servicePages: UInt32
    package var backends: UInt32
    package var published: UInt32
    package var hostAddresses: UInt32
    /// Of either kind. Allocated at once, as the next.
    package var flows: UInt32
    package var formerBackends: UInt32

    package init(
        endpoints: UInt32, forwardEntries: UInt32, forward6Entries: UInt32, vteps: UInt32, subnets: UInt32,
        services: UInt32, servicePages: UInt32, backends: UInt32, published: UInt32, hostAddresses: UInt32, flows: UInt32,
        formerBackends: UInt32
    ) {
        self.endpoints = endpoints
        self.forwardEntries = forwardEntries
        self.forward6Entries = forward6Entries
        self.vteps = vteps
        self.subnets = subnets
        self.services = services
        self.servicePages = servicePages
        self.backends = backends
        self.published = published
        self.hostAddresses = hostAddresses
        self.flows = flows
        self.formerBackends = formerBackends
    }

    func entries(of map: MapName) -> UInt32 {
        switch map {
        case .config: 1
        case .endpoint: endpoints
        case .forward: forwardEntries
        case .forward6: forward6Entries
        case .vtep: vteps
        case .subnet, .subnet6: subnets
        case .service: services
        case .servicePage: servicePages
        case .backend: backends
        case .flow: flows
        case .former: formerBackends
        case .ingress: 1
        case .published: published
        case .source: published
        case .hostAddress: hostAddresses
        case .ingressFlow: flows
        case .counter: endpoints + 1
        case .resolverRound: UInt32(ResolverTransport.allCases.count)
        case .resolverShare: endpoints * UInt32(ResolverTransport.allCases.count)
        }
    }
}
