import WeftNet
import WeftText

/// A member of a spec that a sandbox of Weft's own cannot honour.
package struct SandboxRefusal: Hashable, Sendable {
    /// As the Engine API calls it.
    package let field: String
    /// As the command line does.
    package let option: String
    /// What to do instead: a clause.
    package let advice: String
}

extension TaskSpec {
    /// What a sandbox of Weft's own cannot be, of what the spec asks for: a sentence; nil: all of it can be.
    package var sandboxProblem: String? {
        guard runtime == .sandbox else { return nil }
        if container.command.isEmpty, container.arguments.isEmpty { return "a sandbox needs a command to run" }
        if let bad = networks.first(where: { $0.target == "host" || $0.target == "bridge" }) {
            return "a sandbox cannot be on the network \(bad.target): it has networks of the swarm, or none"
        }
        if let refusal = sandboxRefusal { return "\(refusal.option) is not available for a sandbox of Weft's own: \(refusal.advice)" }
        return container.sandboxValueProblem
    }

    /// The first member that a sandbox cannot honour.
    package var sandboxRefusal: SandboxRefusal? { sandboxRefusals.first { $0.isAsked }?.refusal }

    private var sandboxRefusals: [(refusal: SandboxRefusal, isAsked: Bool)] {
        container.sandboxRefusals + container.sandboxProfileRefusals + container.sandboxMountRefusals + [
            (.engine("LogDriver", "--log-driver"), logDriver != nil)
        ]
    }
}

extension SandboxRefusal {
    fileprivate static func engine(_ field: String, _ option: String) -> Self {
        Self(field: field, option: option, advice: "leave it out, or run an image in a container engine")
    }
}

extension ContainerSpec {
    fileprivate var sandboxRefusals: [(refusal: SandboxRefusal, isAsked: Bool)] {
        [
            (.engine("ContainerSpec.Image", "an image"), !image.isEmpty),
            (.engine("ContainerSpec.Labels", "--container-label"), !labels.isEmpty),
            (
                SandboxRefusal(
                    field: "ContainerSpec.ReadOnly", option: "--read-only",
                    advice:
                        "only a root of its own can be, and this one's is the host's: give a root file system (--rootfs), or leave it out"),
                isReadOnly && rootfs == nil
            ),
            (.engine("ContainerSpec.Isolation", "--isolation"), !["", "default"].contains(isolation)),
        ]
    }

    /// Sandboxes have no profiles: what says so is true of them.
    fileprivate var sandboxProfileRefusals: [(refusal: SandboxRefusal, isAsked: Bool)] {
        guard let privileges else { return [] }
        return [
            (.engine("ContainerSpec.Privileges.SELinuxContext", "an SELinux context"), privileges.selinux.map { !$0.isDisabled } ?? false),
            (.engine("ContainerSpec.Privileges.Seccomp", "a seccomp profile"), ![nil, "unconfined"].contains(privileges.seccompMode)),
            (.engine("ContainerSpec.Privileges.AppArmor", "an AppArmor profile"), ![nil, "disabled"].contains(privileges.appArmorMode)),
        ]
    }

    fileprivate var sandboxMountRefusals: [(refusal: SandboxRefusal, isAsked: Bool)] {
        func refusal(of kind: Mount.Kind, _ advice: String) -> (refusal: SandboxRefusal, isAsked: Bool) {
            let refusal = SandboxRefusal(
                field: "ContainerSpec.Mounts of the type \(kind.rawValue)", option: "--mount type=\(kind.rawValue)", advice: advice)
            return (refusal, mounts.contains { $0.kind == kind })
        }
        let shared = SandboxRefusal(
            field: "ContainerSpec.Mounts with the propagation shared", option: "--mount bind-propagation=shared",
            advice: "what is mounted in a sandbox is seen in no other place: give private or slave, rprivate or rslave")
        return [
            refusal(of: .volume, "volumes are a container engine's: name a directory that each node has (type=bind,source=…)"),
            refusal(of: .image, "images are a container engine's: name a directory that each node has (type=bind,source=…)"),
            refusal(of: .npipe, "it is Windows'"), refusal(of: .cluster, "there are no volumes of the swarm's"),
            (shared, mounts.contains { ["shared", "rshared"].contains($0.propagation) }),
        ]
    }

    /// What is said of something that a sandbox can have, and cannot be so: a sentence.
    fileprivate var sandboxValueProblem: String? {
        if !stopSignal.isEmpty, SignalNumber.named(stopSignal) == nil { return "there is no signal \(stopSignal)" }
        if let bad = dns.nameservers.first(where: { IPv4Address($0) == nil }) {
            return "\"\(bad)\" cannot be asked for names: give the IPv4 address of a server"
        }
        if let bad = hosts.first(where: { $0.split(whereSeparator: \.isWhitespace).count < 2 }) {
            return "\"\(bad)\" is no line of /etc/hosts: give an address and names"
        }
        return sandboxRightsProblem ?? sandboxHealthProblem ?? mounts.lazy.compactMap(\.sandboxProblem).first
    }

    private var sandboxRightsProblem: String? {
        if let bad = (addedCapabilities + droppedCapabilities).first(where: { SandboxRights.capability($0) == nil }) {
            return "there is no capability \(bad)"
        }
        for limit in limits {
            guard SandboxRights.limit(limit.name) != nil else { return "there is no limit \(limit.name)" }
            guard limit.soft >= -1, limit.hard >= -1, UInt64(bitPattern: limit.soft) <= UInt64(bitPattern: limit.hard) else {
                return "the limit \(limit.name) cannot be \(limit.soft) where at most \(limit.hard) is allowed"
            }
        }
        if let bad = sysctls.keys.sorted().first(where: { !SandboxRights.isOwn(sysctl: $0) }) {
            return "\(bad) is not a setting of a sandbox's own: those of net., fs.mqueue., kernel.msg… and kernel.shm… are"
        }
        guard (-1000...1000).contains(oomScoreAdjustment) else { return "an OOM score is -1000 to 1000, not \(oomScoreAdjustment)" }
        return nil
    }

    private var sandboxHealthProblem: String? {
        guard let check = healthcheck, check.test != ["NONE"] else { return nil }
        guard check.test.count > 1 else {
            return check == Healthcheck()
                ? nil : "a health check needs a command (--health-cmd): a sandbox has no image that would have one"
        }
        return check.test[0] == "CMD-SHELL" && check.test.count > 2 ? "a health check by the shell is one line" : nil
    }
}

extension ContainerSpec.Mount {
    fileprivate var sandboxProblem: String? {
        guard target.hasPrefix("/"), target != "/" else { return "nothing can be mounted at \"\(target)\": give an absolute path" }
        switch kind {
        case .bind where !source.hasPrefix("/"):
            return "\"\(source)\" cannot be mounted at \(target): give the absolute path of what each node has there"
        case .tmpfs where !source.isEmpty: return "a tmpfs has no source, and \(source) was given for \(target): leave it out"
        default: return nil
        }
    }
}
