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
        container.sandboxRefusals + container.sandboxMountRefusals + [
            (.engine("LogDriver", "--log-driver"), logDriver != nil),
            (.engine("Resources.Limits", "--limit-cpu, --limit-memory or --limit-pids"), limits != ResourceAmounts()),
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
            (.engine("ContainerSpec.User", "--user"), !user.isEmpty), (.engine("ContainerSpec.Groups", "--group"), !groups.isEmpty),
            (.engine("ContainerSpec.Privileges", "--credential-spec"), privileges != nil),
            (.engine("ContainerSpec.Init", "--init"), usesInit == true),
            (.engine("ContainerSpec.ReadOnly", "--read-only"), isReadOnly),
            (.engine("ContainerSpec.Mounts", "--mount"), !mounts.isEmpty),
            (.engine("ContainerSpec.Healthcheck", "--health-cmd"), healthcheck.map { $0.test != ["NONE"] } ?? false),
            (.engine("ContainerSpec.Sysctls", "--sysctl"), !sysctls.isEmpty),
            (.engine("ContainerSpec.CapabilityAdd", "--cap-add"), !addedCapabilities.isEmpty),
            (.engine("ContainerSpec.CapabilityDrop", "--cap-drop"), !droppedCapabilities.isEmpty),
            (.engine("ContainerSpec.Ulimits", "--ulimit"), !limits.isEmpty),
            (.engine("ContainerSpec.OomScoreAdj", "--oom-score-adj"), oomScoreAdjustment != 0),
            (.engine("ContainerSpec.Hosts", "--host"), !hosts.isEmpty),
            (.engine("ContainerSpec.DNSConfig.Nameservers", "--dns"), !dns.nameservers.isEmpty),
            (.engine("ContainerSpec.Isolation", "--isolation"), !["", "default"].contains(isolation)),
        ]
    }

    fileprivate var sandboxMountRefusals: [(refusal: SandboxRefusal, isAsked: Bool)] { [] }

    fileprivate var sandboxValueProblem: String? { nil }
}
