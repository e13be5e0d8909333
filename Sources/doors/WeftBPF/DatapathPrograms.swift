// The door to eBPF: loads the programs, pins maps and links, attaches at interfaces, reads and writes entries. Decides nothing:
// `WeftKernel` says what should be where. What is pinned outlives this process.
import CBPF
import CDatapathABI
import Glibc
import Synchronization
package import WeftLinux

/// The overlay's programs and maps in the kernel, held by a pin directory: they work on when this object and its process are gone.
///
/// Blocking calls; attaching by tcx waits for the kernel (about 13 ms). Safe to use from several threads.
package final class DatapathPrograms: Sendable {
    /// What `open` found in the pin directory.
    package struct Adoption: Sendable, Hashable {
        /// Maps that kept their contents.
        package let adopted: [String]
        /// Maps made empty: there was none, or it was of another ABI version or shape.
        package let created: [String]
        /// Interfaces whose running program was replaced by this one.
        package let updatedInterfaces: [UInt32]
        /// Interfaces that run the former program on the former maps until `updateLinks()`.
        package let pendingInterfaces: [UInt32]
    }

    package let adoption: Adoption
    private let interfaces: InterfacePrograms
    let configMap: BPFMap<UInt32, weft_config>
    let endpointMap: BPFMap<weft_endpoint_key, weft_endpoint>
    let forwardMap: BPFMap<weft_forward_key, weft_forward>
    let forward6Map: BPFMap<weft_forward6_key, weft_forward>
    let vtepMap: BPFMap<weft_vtep_key, weft_vtep>
    let subnetMap: BPFMap<weft_subnet_key, weft_subnet>
    let subnet6Map: BPFMap<weft_subnet6_key, weft_subnet>
    let serviceMap: BPFMap<weft_service_key, weft_service>
    let servicePageMap: BPFMap<weft_service_page_key, weft_service_page>
    let backendMap: BPFMap<weft_backend_key, weft_backend>
    let flowMap: BPFMap<weft_flow_key, weft_flow>
    let formerMap: BPFMap<weft_former_key, weft_former>
    let ingressMap: BPFMap<UInt32, weft_ingress>
    let publishedMap: BPFMap<weft_published_key, weft_published>
    let sourceMap: BPFMap<weft_source_key, UInt32>
    let hostAddressMap: BPFMap<weft_host_address_key, UInt32>
    let counterMap: BPFMap<weft_counter_key, weft_counter>
    let resolverRoundMap: BPFMap<UInt32, UInt32>
    let resolverShareMap: BPFMap<weft_resolver_share_key, weft_resolver_share>
    /// The numbers of the rounds, by `ResolverTransport.number`.
    let resolverRounds: Mutex<[UInt32: UInt32]>
    /// The programs where sockets connect.
    let sockets: SocketState
    /// What they know of endpoints' namespaces, by the host end's interface index.
    let namespaces: Mutex<[UInt32: weft_namespace_key]>

    /// Loads the programs. Pinned maps of the same ABI version and shape are adopted with their contents, others are made anew.
    ///
    /// Running programs are replaced at once, link by link and without losing a packet, when all maps were adopted.
    /// When a map had to be made anew they go on with the former maps: fill the maps, then call `updateLinks()`.
    ///
    /// `namespace` has the interfaces. `attachment`: how programs are attached, those that are attached the other way included; nil: as
    /// `InterfacePrograms` finds best. `translation`: where connections to services are given their backend, as far as the host can.
    package static func open(
        pinDirectory: String, namespace: NetworkNamespace = .current, sizes: MapSizes = .standard,
        attachment: AttachmentKind? = nil, translation: ServiceTranslation = .interface
    ) throws(BPFError) -> DatapathPrograms {
        try DatapathPrograms(PinDirectory(path: pinDirectory), namespace, sizes, attachment, translation)
    }

    /// Detaches everything from the namespace's interfaces and removes the pin directory. Traffic stops.
    package static func removeAll(pinDirectory: String, namespace: NetworkNamespace = .current) throws(BPFError) {
        let pins = try PinDirectory(path: pinDirectory)
        try InterfacePrograms.removeAll(pins: pins, namespace: namespace)
        try pins.removeAll()
    }

    private init(
        _ pins: PinDirectory, _ namespace: NetworkNamespace, _ sizes: MapSizes, _ wanted: AttachmentKind?,
        _ translation: ServiceTranslation
    ) throws(BPFError) {
        var loader = ObjectLoader(pins: pins, adopts: try Self.hasCurrentVersion(pins))
        let object = try loader.load(.overlay(sizes))
        configMap = try object.map(.config, UInt32.self, weft_config.self)
        endpointMap = try object.map(.endpoint, weft_endpoint_key.self, weft_endpoint.self)
        forwardMap = try object.map(.forward, weft_forward_key.self, weft_forward.self)
        forward6Map = try object.map(.forward6, weft_forward6_key.self, weft_forward.self)
        vtepMap = try object.map(.vtep, weft_vtep_key.self, weft_vtep.self)
        subnetMap = try object.map(.subnet, weft_subnet_key.self, weft_subnet.self)
        subnet6Map = try object.map(.subnet6, weft_subnet6_key.self, weft_subnet.self)
        serviceMap = try object.map(.service, weft_service_key.self, weft_service.self)
        servicePageMap = try object.map(.servicePage, weft_service_page_key.self, weft_service_page.self)
        backendMap = try object.map(.backend, weft_backend_key.self, weft_backend.self)
        flowMap = try object.map(.flow, weft_flow_key.self, weft_flow.self)
        formerMap = try object.map(.former, weft_former_key.self, weft_former.self)
        ingressMap = try object.map(.ingress, UInt32.self, weft_ingress.self)
        publishedMap = try object.map(.published, weft_published_key.self, weft_published.self)
        sourceMap = try object.map(.source, weft_source_key.self, UInt32.self)
        hostAddressMap = try object.map(.hostAddress, weft_host_address_key.self, UInt32.self)
        counterMap = try object.map(.counter, weft_counter_key.self, weft_counter.self)
        resolverRoundMap = try object.map(.resolverRound, UInt32.self, UInt32.self)
        resolverShareMap = try object.map(.resolverShare, weft_resolver_share_key.self, weft_resolver_share.self)
        var rounds: [UInt32: UInt32] = [:]
        for transport in ResolverTransport.allCases { rounds[transport.number] = try resolverRoundMap.get(transport.number) }
        resolverRounds = Mutex(rounds)
        // The version is in place before the maps get their names: a process that dies between leaves no map without one.
        if object.created.contains(MapName.config.rawValue) {
            try configMap.put(
                0, weft_config(abi_version: WEFT_ABI_VERSION, underlay_ifindex: 0, vtep_ipv4: 0, vxlan_port: 0, tunnel_ifindex: 0))
        }
        try counterMap.putIfAbsent(weft_counter_key(ifindex: 0))
        try object.pinCreatedMaps(in: pins)
        sockets = try Self.openSockets(translation, &loader, pins, sizes)
        namespaces = Mutex([:])
        if case .on(let hooks) = sockets {
            let living = Set(try endpointMap.all().map(\.0.ifindex))
            let known = try hooks.interfaces { living.contains($0) }
            namespaces.withLock { $0 = known }
        }

        var programs: [AttachmentRole: BPFProgram] = [:]
        for role in AttachmentRole.allCases { programs[role] = try object.program(role.program) }
        interfaces = try InterfacePrograms(programs, pins: pins, namespace: namespace, wanted: wanted)
        let running = try interfaces.all().keys.sorted()
        let isWhole = object.created.isEmpty
        adoption = Adoption(
            adopted: object.adopted, created: object.created, updatedInterfaces: isWhole ? running : [],
            pendingInterfaces: isWhole ? [] : running)
        if isWhole { try interfaces.update() }
    }

    private static func hasCurrentVersion(_ pins: PinDirectory) throws(BPFError) -> Bool {
        guard let descriptor = try Descriptor(pinnedAt: pins.map(MapName.config.rawValue)) else { return false }
        let number = descriptor.rawValue
        var shape = cbpf_map_shape()
        try call("inspect pinned map \(MapName.config.rawValue)") { cbpf_map_shape(number, &shape) }
        guard shape.value_size == MemoryLayout<weft_config>.size else { return false }
        let map = BPFMap<UInt32, weft_config>(name: MapName.config.rawValue, descriptor: SharedDescriptor(descriptor))
        return try map.get(0)?.abi_version == WEFT_ABI_VERSION
    }

    // MARK: Attachment

    /// How programs are attached in the end; a new endpoint's by a filter first.
    package var attachment: AttachmentKind { interfaces.kind }

    /// Finishes the attachment of one endpoint's program where that could wait; false when there is none left.
    package func settle() throws(BPFError) -> Bool { try interfaces.settle() }

    /// Puts the endpoint's program at the host end of a veth. Write its entry first: packets of an unknown interface are dropped.
    package func attachEndpoint(interface: UInt32) throws(BPFError) { try interfaces.attach(interface, .endpoint) }
    /// Puts the underlay's program at the interface that leads to the other nodes.
    package func attachUnderlay(interface: UInt32) throws(BPFError) { try interfaces.attach(interface, .underlay) }
    /// Puts the vxlan device's program at it.
    package func attachVXLAN(interface: UInt32) throws(BPFError) { try interfaces.attach(interface, .vxlan) }

    /// Puts the program at the device of what encrypts.
    package func attachTunnel(interface: UInt32) throws(BPFError) { try interfaces.attach(interface, .tunnel) }

    /// Puts the program for published ports at an interface of the host's. `isBare`: its frames begin with the IP header.
    package func attachOutside(interface: UInt32, isBare: Bool = false) throws(BPFError) {
        try interfaces.attach(interface, isBare ? .bare : .outside)
    }

    /// Takes the program off an interface. None there, or no interface, is no error.
    package func detach(interface: UInt32) throws(BPFError) { try interfaces.detach(interface: interface) }

    /// Interfaces that have a program of ours, by index.
    package func attachedInterfaces() throws(BPFError) -> [UInt32: AttachmentRole] { try interfaces.all() }

    /// Which program of ours an interface has.
    package func role(at interface: UInt32) throws(BPFError) -> AttachmentRole? { try interfaces.role(at: interface) }

    /// Replaces the programs on all interfaces by this version of them. Each one changes atomically; no packet is lost unless the way
    /// they are attached changes.
    package func updateLinks() throws(BPFError) { try interfaces.update() }

    /// Runs a program once over a packet.
    package func testRun(_ role: AttachmentRole, packet: [UInt8]) throws(BPFError) -> BPFProgram.TestRun {
        try interfaces.program(role).testRun(packet: packet)
    }
}
