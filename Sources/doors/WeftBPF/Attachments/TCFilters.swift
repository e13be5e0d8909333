import WeftLinux
import WeftWire

/// Attachment by traffic control: a filter per program, told by its handle from those of other pin directories and other programs.
struct TCFilters: InterfaceAttachments {
    /// Before those that the kernel numbers by itself, and unlikely to be another's, whose filters of another kind it would exclude.
    private static let priority: UInt16 = 77

    private let filters: IngressFilters
    private let handle: UInt32

    init(pinDirectory: String, namespace: NetworkNamespace) throws(BPFError) {
        do {
            filters = try IngressFilters(in: namespace)
        } catch let error as SystemError {
            throw BPFError(error)
        } catch {
            throw BPFError(operation: "reach network namespace \(namespace)", errno: 0, log: "\(error)")
        }
        handle = Self.handle(of: pinDirectory)
    }

    func all() throws(BPFError) -> [UInt32: AttachmentRole] { try all(except: []) }

    /// Those of the interfaces that are not in `excluded`.
    func all(except excluded: Set<UInt32>) throws(BPFError) -> [UInt32: AttachmentRole] {
        try converting { () throws(SystemError) in
            var found: [UInt32: AttachmentRole] = [:]
            for filter in try filters.all(priority: Self.priority, handle: handle, except: excluded) {
                found[filter.interface] = AttachmentRole(program: filter.name)
            }
            return found
        }
    }

    func role(at interface: UInt32) throws(BPFError) -> AttachmentRole? {
        try converting { () throws(SystemError) in
            let own = try filters.filters(of: interface).first { $0.priority == Self.priority && $0.handle == handle }
            return own.flatMap { AttachmentRole(program: $0.name) }
        }
    }

    func put(_ program: BPFProgram, _ role: AttachmentRole, at interface: UInt32) throws(BPFError) {
        try converting { () throws(SystemError) in try filters.put(filter(role, interface), program: program.number) }
    }

    func replace(_ program: BPFProgram, _ role: AttachmentRole, at interface: UInt32) throws(BPFError) -> Bool {
        try converting { () throws(SystemError) in try filters.replace(filter(role, interface), program: program.number) }
    }

    func remove(at interface: UInt32) throws(BPFError) {
        guard let role = try role(at: interface) else { return }
        try converting { () throws(SystemError) in try filters.remove(filter(role, interface)) }
    }

    private func filter(_ role: AttachmentRole, _ interface: UInt32) -> FilterMessage {
        FilterMessage(interface: interface, priority: Self.priority, handle: handle, name: role.program)
    }

    /// The same for a directory in every process: FNV-1a, without the bit that tc prints as a sign.
    private static func handle(of pinDirectory: String) -> UInt32 {
        let hash = pinDirectory.utf8.reduce(0x811c_9dc5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        return max(1, hash & 0x7fff_ffff)
    }

    private func converting<Result>(_ body: () throws(SystemError) -> Result) throws(BPFError) -> Result {
        do throws(SystemError) { return try body() } catch { throw BPFError(error) }
    }
}
