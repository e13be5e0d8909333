/// How programs are put at interfaces. Both ways replace a program without losing a packet, and hold it without this process.
/// A clsact that comes or goes stops what an interface sends for some milliseconds (the kernel deactivates its queues meanwhile).
package enum AttachmentKind: String, Sendable, Hashable, CaseIterable {
    /// A link for each, held by its pin (Linux 6.6).
    case tcx
    /// A filter of the interface's clsact queueing discipline, held by the interface.
    case tc
}

/// How programs are to be attached.
package enum AttachmentChoice: String, Sendable, CaseIterable {
    case auto
    case tcx
    case tc

    /// Nil: as the kernel can.
    package var kind: AttachmentKind? { AttachmentKind(rawValue: rawValue) }
}

/// The programs at one namespace's interfaces, of one kind and one pin directory. An interface has one at most.
protocol InterfaceAttachments: Sendable {
    /// The interfaces that have a program. What is left of interfaces that are gone is removed on the way.
    func all() throws(BPFError) -> [UInt32: AttachmentRole]

    func role(at interface: UInt32) throws(BPFError) -> AttachmentRole?

    /// Puts a program at an interface, in the place of the one that it has.
    func put(_ program: BPFProgram, _ role: AttachmentRole, at interface: UInt32) throws(BPFError)

    /// Puts a program in the place of a former version of it; false if the interface has none.
    func replace(_ program: BPFProgram, _ role: AttachmentRole, at interface: UInt32) throws(BPFError) -> Bool

    /// Takes the program off. None there, or no interface, is no error.
    func remove(at interface: UInt32) throws(BPFError)
}
