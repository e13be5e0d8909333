import CBPF
import Glibc
import Synchronization
import WeftLinux

/// The overlay's programs at the interfaces of one namespace. What is attached in another way than a new one would be counts as attached:
/// it is replaced in its place.
///
/// Left to itself (`wanted` nil), it attaches by tcx where the kernel has it, but to an endpoint's interface by a filter of tc first: the
/// kernel puts that at an interface that is not yet up at once, whereas a tcx link waits for a grace period of RCU, some 13 ms, and keeps
/// all other changes of interfaces waiting meanwhile. The link, by which a packet passes some 90 ns sooner, follows when there is time
/// (`settle`). It decides alone then; the filter stays, as taking it away would stop what the interface sends for a moment.
final class InterfacePrograms: Sendable {
    private let programs: [AttachmentRole: BPFProgram]
    private let wanted: AttachmentKind?
    /// How programs are attached in the end.
    let kind: AttachmentKind
    private let links: TCXLinks
    private let filters: TCFilters
    /// Interfaces of endpoints that have a filter alone and are to get a link.
    private let unsettled: Mutex<Set<UInt32>>

    init(
        _ programs: [AttachmentRole: BPFProgram], pins: PinDirectory, namespace: NetworkNamespace, wanted: AttachmentKind?
    ) throws(BPFError) {
        self.programs = programs
        self.wanted = wanted
        kind = try Self.kind(wanted, for: programs.values)
        links = TCXLinks(pins: pins, namespace: namespace)
        filters = try TCFilters(pinDirectory: pins.path, namespace: namespace)
        unsettled = Mutex([])
        guard wanted == nil, kind == .tcx else { return }
        let alone = try filters.all(except: Set(links.all().keys)).filter { $0.value == .endpoint }.keys
        unsettled.withLock { $0 = Set(alone) }
    }

    /// Takes the programs of a pin directory off their interfaces, as far as those hold them.
    static func removeAll(pins: PinDirectory, namespace: NetworkNamespace) throws(BPFError) {
        let filters = try TCFilters(pinDirectory: pins.path, namespace: namespace)
        for interface in try filters.all().keys { try filters.remove(at: interface) }
    }

    func program(_ role: AttachmentRole) throws(BPFError) -> BPFProgram {
        guard let program = programs[role] else { throw BPFError(operation: "find the program of \(role)", errno: ENOENT) }
        return program
    }

    /// An interface that has the program already gets this version of it.
    func attach(_ interface: UInt32, _ role: AttachmentRole) throws(BPFError) {
        if wanted == nil, kind == .tcx, role == .endpoint, try putFilter(at: interface) { return }
        try attachments(kind).put(program(role), role, at: interface)
        // Where both are for a moment, a packet that both see is judged the same by both.
        try attachments(kind.other).remove(at: interface)
    }

    /// The quick way to attach the program of an endpoint; false where the kernel lacks what it takes.
    private func putFilter(at interface: UInt32) throws(BPFError) -> Bool {
        let program = try program(.endpoint)
        // Left by an interface that had the same index.
        try links.remove(at: interface)
        do { try filters.put(program, .endpoint, at: interface) } catch { return false }
        unsettled.withLock { _ = $0.insert(interface) }
        return true
    }

    /// Gives one interface that has a filter alone a link, which takes some 13 ms; false when there is none left.
    func settle() throws(BPFError) -> Bool {
        guard let interface = unsettled.withLock({ $0.popFirst() }) else { return false }
        if try filters.role(at: interface) == .endpoint { try links.put(program(.endpoint), .endpoint, at: interface) }
        return true
    }

    func detach(interface: UInt32) throws(BPFError) {
        unsettled.withLock { _ = $0.remove(interface) }
        try links.remove(at: interface)
        try filters.remove(at: interface)
    }

    func all() throws(BPFError) -> [UInt32: AttachmentRole] {
        let linked = try links.all()
        return try linked.merging(filters.all(except: Set(linked.keys))) { first, _ in first }
    }

    func role(at interface: UInt32) throws(BPFError) -> AttachmentRole? {
        if let role = try links.role(at: interface) { return role }
        return try filters.role(at: interface)
    }

    /// Replaces the programs on all interfaces by this version of them. Each one changes atomically; no packet is lost unless another way
    /// of attaching is asked for than the one by which it is attached.
    func update() throws(BPFError) {
        for kind in AttachmentKind.allCases {
            for (interface, role) in try attachments(kind).all() {
                if let wanted, wanted != kind {
                    try attach(interface, role)
                } else {
                    // False: the interface has gone since, and its program with it.
                    _ = try attachments(kind).replace(program(role), role, at: interface)
                }
            }
        }
    }

    private func attachments(_ kind: AttachmentKind) -> any InterfaceAttachments {
        switch kind {
        case .tcx: links
        case .tc: filters
        }
    }

    private static func kind(
        _ wanted: AttachmentKind?, for programs: some Collection<BPFProgram>
    ) throws(BPFError) -> AttachmentKind {
        guard wanted != .tc, let program = programs.first else { return .tc }
        if try call("find out whether the kernel has tcx", { cbpf_tcx_supported(program.number) }) == 1 { return .tcx }
        guard wanted == nil else {
            throw .unsupported(
                UnsupportedKernelFeature("attaching programs by tcx", since: "6.6", advice: "attach them by tc"))
        }
        return .tc
    }
}

extension AttachmentKind {
    fileprivate var other: AttachmentKind { self == .tc ? .tcx : .tc }
}
