import CBPF
import Glibc
import WeftLinux

/// Programs on control groups (cgroup2), each by a link that is pinned under the group's number and the program's name. Where a program
/// takes part - connect4, sendmsg6, sock_create, … - says the section of its source. It sees all processes of the group and of those
/// below it, and goes with the group.
package struct CgroupLinks: Sendable {
    private let pins: PinDirectory

    package init(pins: PinDirectory) { self.pins = pins }

    /// A program on a control group.
    package struct Attachment: Sendable, Hashable {
        /// The group's number: the inode of its directory.
        package let cgroup: UInt64
        /// The program's name.
        package let program: String

        package init(cgroup: UInt64, program: String) {
            self.cgroup = cgroup
            self.program = program
        }
    }

    /// What is attached. The pins of groups that are gone are removed on the way.
    package func all() throws(BPFError) -> Set<Attachment> {
        var live: Set<Attachment> = []
        for name in try pins.linkNames() {
            guard let attachment = Attachment(pin: name), try link(attachment) != nil else { continue }
            live.insert(attachment)
        }
        return live
    }

    /// Puts a program on the group with this directory, in the place of a former version of it, without a moment without either.
    package func put(_ program: BPFProgram, on path: String) throws(BPFError) {
        let directory = Descriptor(try call("open cgroup \(path)") { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC).orErrno })
        guard try call("look at cgroup \(path)", { cbpf_is_cgroup2(path) }) == 1 else {
            throw .unsupported(
                UnsupportedKernelFeature(
                    "programs on \(path), which is no cgroup2 directory", advice: "mount one: mount -t cgroup2 none DIR"))
        }
        var status = stat()
        try call("inspect cgroup \(path)") { fstat(directory.rawValue, &status).orErrno }
        let attachment = Attachment(cgroup: UInt64(status.st_ino), program: program.name)
        if try replace(program, attachment) { return }
        let link = Descriptor(
            try call("attach \(program.name) to cgroup \(path)") {
                cbpf_cgroup_attach(program.number, directory.rawValue, program.attachType)
            })
        try pins.pin(link.rawValue, at: pins.link(attachment.pin))
    }

    /// Puts these programs in the place of their former versions on all groups.
    package func update(_ programs: [BPFProgram]) throws(BPFError) {
        for attachment in try all() {
            // False: the group has gone since, and its program with it.
            if let program = programs.first(where: { $0.name == attachment.program }) { _ = try replace(program, attachment) }
        }
    }

    /// Takes a program off its group. None there, or no group, is no error.
    package func remove(_ attachment: Attachment) throws(BPFError) { try pins.remove(pins.link(attachment.pin)) }

    private func replace(_ program: BPFProgram, _ attachment: Attachment) throws(BPFError) -> Bool {
        guard let link = try link(attachment) else { return false }
        let result = try call("update \(program.name) at cgroup \(attachment.cgroup)") {
            let result = cbpf_link_update(link.rawValue, program.number)
            return result == -ENOLINK ? 1 : result
        }
        if result == 1 { try remove(attachment) }
        return result == 0
    }

    /// The pinned link if its group is still there; removes its pin if not.
    private func link(_ attachment: Attachment) throws(BPFError) -> Descriptor? {
        let path = pins.link(attachment.pin)
        guard let link = try Descriptor(pinnedAt: path) else { return nil }
        var cgroup: UInt64 = 0
        try call("inspect link \(path)") { cbpf_cgroup_of_link(link.rawValue, &cgroup) }
        if cgroup == attachment.cgroup { return link }
        try pins.remove(path)
        return nil
    }
}

extension CgroupLinks.Attachment {
    /// "cgroup4711-weft_connect4"; numbers alone are interfaces.
    fileprivate var pin: String { "cgroup\(cgroup)-\(program)" }

    /// Nil for the name of another's link.
    fileprivate init?(pin: String) {
        let parts = pin.split(separator: "-", maxSplits: 1)
        guard parts.count == 2, parts[0].hasPrefix("cgroup"), let cgroup = UInt64(parts[0].dropFirst("cgroup".count))
        else { return nil }
        self.init(cgroup: cgroup, program: String(parts[1]))
    }
}

extension Int32 {
    /// A system call's result, as the functions of CBPF return it.
    fileprivate var orErrno: Int32 { self < 0 ? -errno : self }
}
