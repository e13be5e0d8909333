import CBPF
import Glibc
import Synchronization
import WeftLinux

/// The overlay's programs at the interfaces of one namespace, attached in one way, and as long as there are some in another.
final class InterfacePrograms: Sendable {
    /// How programs are attached.
    let kind: AttachmentKind
    private let programs: [AttachmentRole: BPFProgram]
    private let attachments: any InterfaceAttachments
    /// Programs that were attached the other way, as long as there are some.
    private let former: Mutex<(any InterfaceAttachments)?>

    /// - Parameter wanted: nil: tcx where the kernel has it.
    init(
        _ programs: [AttachmentRole: BPFProgram], pins: PinDirectory, namespace: NetworkNamespace, wanted: AttachmentKind?
    ) throws(BPFError) {
        self.programs = programs
        kind = try Self.kind(wanted, for: programs.values)
        attachments = try Self.attachments(kind, pins, namespace)
        let other = try Self.attachments(kind == .tcx ? .tc : .tcx, pins, namespace)
        former = Mutex(try other.all().isEmpty ? nil : other)
    }

    /// Takes the programs of a pin directory off their interfaces, as far as those hold them.
    static func removeAll(pins: PinDirectory, namespace: NetworkNamespace) throws(BPFError) {
        let filters = try attachments(.tc, pins, namespace)
        for interface in try filters.all().keys { try filters.remove(at: interface) }
    }

    func program(_ role: AttachmentRole) throws(BPFError) -> BPFProgram {
        guard let program = programs[role] else { throw BPFError(operation: "find the program of \(role)", errno: ENOENT) }
        return program
    }

    /// An interface that has the program already gets this version of it.
    func attach(_ interface: UInt32, _ role: AttachmentRole) throws(BPFError) {
        try attachments.put(program(role), role, at: interface)
        try former.withLock { $0 }?.remove(at: interface)
    }

    func detach(interface: UInt32) throws(BPFError) {
        try attachments.remove(at: interface)
        try former.withLock { $0 }?.remove(at: interface)
    }

    func all() throws(BPFError) -> [UInt32: AttachmentRole] {
        let others = try former.withLock { $0 }?.all() ?? [:]
        return try attachments.all().merging(others) { own, _ in own }
    }

    func role(at interface: UInt32) throws(BPFError) -> AttachmentRole? {
        if let role = try attachments.role(at: interface) { return role }
        return try former.withLock { $0 }?.role(at: interface)
    }

    /// Replaces the programs on all interfaces by this version of them. Each one changes atomically; no packet is lost unless the way
    /// they are attached changes.
    func update() throws(BPFError) {
        for (interface, role) in try attachments.all() {
            // False: the interface has gone since, and its program with it.
            _ = try attachments.replace(program(role), role, at: interface)
        }
        guard let former = former.withLock({ $0 }) else { return }
        // This kind's program is in place before the other's goes: a packet that both see is judged the same by both.
        for (interface, role) in try former.all() { try attach(interface, role) }
        self.former.withLock { $0 = nil }
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

    private static func attachments(
        _ kind: AttachmentKind, _ pins: PinDirectory, _ namespace: NetworkNamespace
    ) throws(BPFError) -> any InterfaceAttachments {
        switch kind {
        case .tcx: TCXLinks(pins: pins, namespace: namespace)
        case .tc: try TCFilters(pinDirectory: pins.path, namespace: namespace)
        }
    }
}
