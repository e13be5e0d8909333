import CBPF
import Glibc
import WeftLinux

/// Attachment by tcx: a link per program, pinned under the interface's index and the role.
struct TCXLinks: InterfaceAttachments {
    let pins: PinDirectory
    let namespace: NetworkNamespace

    func all() throws(BPFError) -> [UInt32: AttachmentRole] {
        var live: [UInt32: AttachmentRole] = [:]
        for name in try pins.linkNames() {
            guard let (interface, role) = Self.parse(name), try link(interface, role) != nil else { continue }
            live[interface] = role
        }
        return live
    }

    /// Where a link is pinned: "12-endpoint".
    private func pin(_ interface: UInt32, _ role: AttachmentRole) -> String { pins.link("\(interface)-\(role.rawValue)") }

    /// Nil for the name of another's link.
    private static func parse(_ name: String) -> (interface: UInt32, role: AttachmentRole)? {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let interface = UInt32(parts[0]), let role = AttachmentRole(rawValue: String(parts[1]))
        else { return nil }
        return (interface, role)
    }

    func role(at interface: UInt32) throws(BPFError) -> AttachmentRole? {
        for role in AttachmentRole.allCases where try link(interface, role) != nil { return role }
        return nil
    }

    func put(_ program: BPFProgram, _ role: AttachmentRole, at interface: UInt32) throws(BPFError) {
        for other in AttachmentRole.allCases where other != role { try pins.remove(pin(interface, other)) }
        if try replace(program, role, at: interface) { return }
        let link = try inNamespace { () throws(BPFError) in
            try call("attach \(program.name) to interface \(interface)") { cbpf_tcx_attach(program.number, interface) }
        }
        let pinned = Descriptor(link)
        try pins.pin(pinned.rawValue, at: pin(interface, role))
    }

    func replace(_ program: BPFProgram, _ role: AttachmentRole, at interface: UInt32) throws(BPFError) -> Bool {
        guard let link = try link(interface, role) else { return false }
        let number = link.rawValue
        let result = try call("update \(program.name) at interface \(interface)") {
            let result = cbpf_link_update(number, program.number)
            // The interface went away since we looked.
            return result == -ENOLINK ? 1 : result
        }
        if result == 1 { try pins.remove(pin(interface, role)) }
        return result == 0
    }

    func remove(at interface: UInt32) throws(BPFError) {
        for role in AttachmentRole.allCases {
            // A link that is only let go of goes some time later, by a work queue of the kernel's, and its program cannot be attached anew before.
            if let link = try Descriptor(pinnedAt: pin(interface, role)) {
                let number = link.rawValue
                _ = try call("take a program off interface \(interface)") {
                    let result = cbpf_link_detach(number)
                    return [-ENOLINK, -EOPNOTSUPP].contains(result) ? 0 : result
                }
            }
            try pins.remove(pin(interface, role))
        }
    }

    /// The pinned link when it is still attached to that interface; removes its pin when not.
    private func link(_ interface: UInt32, _ role: AttachmentRole) throws(BPFError) -> Descriptor? {
        let path = pin(interface, role)
        guard let link = try Descriptor(pinnedAt: path) else { return nil }
        let number = link.rawValue
        let index = try call("inspect link \(path)") {
            let result = cbpf_tcx_ifindex(number)
            return result == -Int64(EMEDIUMTYPE) ? 0 : result
        }
        if index == Int64(interface) { return link }
        try pins.remove(path)
        return nil
    }

    /// The kernel looks an interface up in the calling thread's namespace.
    private func inNamespace(_ body: @Sendable () throws(BPFError) -> Int32) throws(BPFError) -> Int32 {
        do {
            return try namespace.run { try body() }
        } catch let error as BPFError {
            throw error
        } catch let error as SystemError {
            throw BPFError(error)
        } catch {
            throw BPFError(operation: "enter network namespace \(namespace)", errno: EINVAL, log: "\(error)")
        }
    }
}
