// The door to eBPF: loads the programs, pins maps and links, attaches at interfaces, reads and writes entries. Decides nothing:
// `WeftKernel` says what should be where. What is pinned outlives this process.
import CBPF
import CDatapathABI
import Glibc
import Synchronization
package import WeftLinux

/// The overlay's programs and maps in the kernel, held by a pin directory: they work on when this object and its process are gone.
///
/// Blocking calls; attaching waits for the kernel (about 13 ms). Safe to use from several threads.
package final class DatapathPrograms: Sendable {
    /// What `open` found in the pin directory.
    package struct Adoption: Sendable, Hashable {
        /// Maps that kept their contents.
        package var adopted: [String] = []
        /// Maps made empty: there was none, or it was of another ABI version or shape.
        package var created: [String] = []
        /// Interfaces whose running program was replaced by this one.
        package var updatedInterfaces: [UInt32] = []
        /// Interfaces that run the former program on the former maps until `updateLinks()`.
        package var pendingInterfaces: [UInt32] = []
    }

    package let adoption: Adoption
    let pins: PinDirectory
    private let endpointProgram: Descriptor
    private let underlayProgram: Descriptor
    private let vxlanProgram: Descriptor
    private let attachments: any Attachments
    /// Programs that were attached the other way, as long as there are some.
    private let former: Mutex<(any Attachments)?>
    let configMap: BPFMap<UInt32, weft_config>
    let endpointMap: BPFMap<weft_endpoint_key, weft_endpoint>
    let forwardMap: BPFMap<weft_forward_key, weft_forward>
    let forward6Map: BPFMap<weft_forward6_key, weft_forward>
    let vtepMap: BPFMap<weft_vtep_key, weft_vtep>
    let subnetMap: BPFMap<weft_subnet_key, weft_subnet>
    let subnet6Map: BPFMap<weft_subnet6_key, weft_subnet>
    let counterMap: BPFMap<weft_counter_key, weft_counter>
    let resolverRoundMap: BPFMap<UInt32, UInt32>
    let resolverShareMap: BPFMap<weft_resolver_share_key, weft_resolver_share>
    /// The numbers of the rounds, by `ResolverTransport.number`.
    let resolverRounds: Mutex<[UInt32: UInt32]>

    /// Loads the programs. Pinned maps of the same ABI version and shape are adopted with their contents, others are made anew.
    ///
    /// Running programs are replaced at once, link by link and without losing a packet, when all maps were adopted.
    /// When a map had to be made anew they go on with the former maps: fill the maps, then call `updateLinks()`.
    ///
    /// `namespace` has the interfaces. `attachment`: how programs are attached; nil: by tcx where the kernel has it. Programs that are
    /// attached the other way change over where those of the same way are replaced.
    package static func open(
        pinDirectory: String, namespace: NetworkNamespace = .current, sizes: MapSizes = .standard,
        attachment: AttachmentKind? = nil
    ) throws(BPFError) -> DatapathPrograms {
        try DatapathPrograms(PinDirectory(path: pinDirectory), namespace, sizes, attachment)
    }

    /// Detaches everything from the namespace's interfaces and removes the pin directory. Traffic stops.
    package static func removeAll(pinDirectory: String, namespace: NetworkNamespace = .current) throws(BPFError) {
        let pins = try PinDirectory(path: pinDirectory)
        let filters = try attachments(.tc, pins, namespace)
        for interface in try filters.all().keys { try filters.remove(at: interface) }
        try pins.removeAll()
    }

    private init(
        _ pins: PinDirectory, _ namespace: NetworkNamespace, _ sizes: MapSizes, _ wanted: AttachmentKind?
    ) throws(BPFError) {
        let object = try OverlayObject(sizes: sizes)
        var adoption = Adoption()
        if try Self.hasCurrentVersion(pins) {
            for name in MapName.allCases {
                if let map = try Descriptor(pinnedAt: pins.map(name.rawValue)), try object.reuse(name, map) {
                    adoption.adopted.append(name.rawValue)
                }
            }
        }
        try object.load()
        adoption.created = MapName.allCases.map(\.rawValue).filter { !adoption.adopted.contains($0) }

        self.pins = pins
        endpointProgram = try object.program(.endpoint)
        underlayProgram = try object.program(.underlay)
        vxlanProgram = try object.program(.vxlan)
        configMap = try object.map(.config, UInt32.self, weft_config.self)
        endpointMap = try object.map(.endpoint, weft_endpoint_key.self, weft_endpoint.self)
        forwardMap = try object.map(.forward, weft_forward_key.self, weft_forward.self)
        forward6Map = try object.map(.forward6, weft_forward6_key.self, weft_forward.self)
        vtepMap = try object.map(.vtep, weft_vtep_key.self, weft_vtep.self)
        subnetMap = try object.map(.subnet, weft_subnet_key.self, weft_subnet.self)
        subnet6Map = try object.map(.subnet6, weft_subnet6_key.self, weft_subnet.self)
        counterMap = try object.map(.counter, weft_counter_key.self, weft_counter.self)
        resolverRoundMap = try object.map(.resolverRound, UInt32.self, UInt32.self)
        resolverShareMap = try object.map(.resolverShare, weft_resolver_share_key.self, weft_resolver_share.self)
        var rounds: [UInt32: UInt32] = [:]
        for transport in ResolverTransport.allCases { rounds[transport.number] = try resolverRoundMap.get(transport.number) }
        resolverRounds = Mutex(rounds)
        // The version is in place before the maps get their names: a process that dies between leaves no map without one.
        if adoption.created.contains(MapName.config.rawValue) {
            try configMap.put(
                0, weft_config(abi_version: WEFT_ABI_VERSION, underlay_ifindex: 0, vtep_ipv4: 0, vxlan_port: 0))
        }
        try counterMap.putIfAbsent(weft_counter_key(ifindex: 0))
        for name in adoption.created {
            guard let name = MapName(rawValue: name) else { continue }
            try pins.pin(try object.map(name), at: pins.map(name.rawValue))
        }

        attachment = try Self.kind(wanted, for: endpointProgram)
        attachments = try Self.attachments(attachment, pins, namespace)
        let other = try Self.attachments(attachment == .tcx ? .tc : .tcx, pins, namespace)
        let others = try other.all()
        former = Mutex(others.isEmpty ? nil : other)
        let running = try attachments.all().merging(others) { own, _ in own }.keys.sorted()
        if adoption.created.isEmpty {
            adoption.updatedInterfaces = running
        } else {
            adoption.pendingInterfaces = running
        }
        self.adoption = adoption
        if adoption.created.isEmpty { try updateLinks() }
    }

    private static func hasCurrentVersion(_ pins: PinDirectory) throws(BPFError) -> Bool {
        guard let descriptor = try Descriptor(pinnedAt: pins.map(MapName.config.rawValue)) else { return false }
        let number = descriptor.rawValue
        var shape = cbpf_map_shape()
        try call("inspect pinned map \(MapName.config.rawValue)") { cbpf_map_shape(number, &shape) }
        guard shape.value_size == MemoryLayout<weft_config>.size else { return false }
        let map = BPFMap<UInt32, weft_config>(name: MapName.config.rawValue, descriptor: descriptor)
        return try map.get(0)?.abi_version == WEFT_ABI_VERSION
    }

    /// The programs' descriptors, for test runs and for attaching.
    @discardableResult
    func withProgram<Result>(
        _ role: AttachmentRole, _ body: (Int32) throws(BPFError) -> Result
    ) throws(BPFError) -> Result {
        switch role {
        case .endpoint: try body(endpointProgram.rawValue)
        case .underlay: try body(underlayProgram.rawValue)
        case .vxlan: try body(vxlanProgram.rawValue)
        }
    }

    // MARK: Attachment

    /// How this object attaches programs.
    package let attachment: AttachmentKind

    /// Puts the endpoint's program at the host end of a veth. Write its entry first: packets of an unknown interface are dropped.
    package func attachEndpoint(interface: UInt32) throws(BPFError) { try attach(interface, .endpoint) }
    /// Puts the underlay's program at the interface that leads to the other nodes.
    package func attachUnderlay(interface: UInt32) throws(BPFError) { try attach(interface, .underlay) }
    /// Puts the vxlan device's program at it.
    package func attachVXLAN(interface: UInt32) throws(BPFError) { try attach(interface, .vxlan) }

    /// An interface that has the program already gets this version of it.
    package func attach(_ interface: UInt32, _ role: AttachmentRole) throws(BPFError) {
        try withProgram(role) { program throws(BPFError) in try attachments.put(program, role, at: interface) }
        try former.withLock { $0 }?.remove(at: interface)
    }

    /// Takes the program off an interface. None there, or no interface, is no error.
    package func detach(interface: UInt32) throws(BPFError) {
        try attachments.remove(at: interface)
        try former.withLock { $0 }?.remove(at: interface)
    }

    /// Interfaces that have a program of ours, by index.
    package func attachedInterfaces() throws(BPFError) -> [UInt32: AttachmentRole] {
        let others = try former.withLock { $0 }?.all() ?? [:]
        return try attachments.all().merging(others) { own, _ in own }
    }

    /// Which program of ours an interface has.
    package func role(at interface: UInt32) throws(BPFError) -> AttachmentRole? {
        if let role = try attachments.role(at: interface) { return role }
        return try former.withLock { $0 }?.role(at: interface)
    }

    /// Replaces the programs on all interfaces by this version of them. Each one changes atomically; no packet is lost unless the way
    /// they are attached changes.
    package func updateLinks() throws(BPFError) {
        for (interface, role) in try attachments.all() {
            // False: the interface has gone since, and its program with it.
            _ = try withProgram(role) { program throws(BPFError) in try attachments.replace(program, role, at: interface) }
        }
        guard let former = former.withLock({ $0 }) else { return }
        // This kind's program is in place before the other's goes: a packet that both see is judged the same by both.
        for (interface, role) in try former.all() { try attach(interface, role) }
        self.former.withLock { $0 = nil }
    }

    /// tcx where the kernel has it, unless something else is wanted.
    private static func kind(_ wanted: AttachmentKind?, for program: borrowing Descriptor) throws(BPFError) -> AttachmentKind {
        if wanted == .tc { return .tc }
        let number = program.rawValue
        if try call("find out whether the kernel has tcx", { cbpf_tcx_supported(number) }) == 1 { return .tcx }
        guard wanted == nil else {
            throw BPFError(operation: "attach programs by tcx, which needs Linux 6.6; by tc it can be done", errno: ENOTSUP)
        }
        return .tc
    }

    private static func attachments(
        _ kind: AttachmentKind, _ pins: PinDirectory, _ namespace: NetworkNamespace
    ) throws(BPFError) -> any Attachments {
        switch kind {
        case .tcx: TCXLinks(pins: pins, namespace: namespace)
        case .tc: try TCFilters(pinDirectory: pins.path, namespace: namespace)
        }
    }
}

extension DatapathPrograms {
    /// What a program did to a packet that it was given.
    package struct TestRun: Sendable, Hashable {
        /// −1 next, 0 pass, 2 drop, 7 redirect.
        package let action: Int32
        /// The packet as the program left it, with its Ethernet header.
        package let packet: [UInt8]

        package init(action: Int32, packet: [UInt8]) {
            self.action = action
            self.packet = packet
        }
    }

    /// Runs a program once over a packet as if it came in at the loopback interface (index 1), without sending anything on.
    package func testRun(_ role: AttachmentRole, packet: [UInt8]) throws(BPFError) -> TestRun {
        var output = [UInt8](repeating: 0, count: packet.count + 256)
        var length = UInt32(output.count)
        var action: Int32 = 0
        try withProgram(role) { program throws(BPFError) in
            try call("run \(role.program)") {
                cbpf_test_run(program, packet, UInt32(packet.count), &output, &length, &action)
            }
        }
        return TestRun(action: action, packet: Array(output.prefix(Int(length))))
    }
}
