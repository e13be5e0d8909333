extension TaskSpec {
    /// What a sandbox of Weft's own cannot be, of what the spec asks for: a sentence; nil: all of it can be.
    package var sandboxProblem: String? {
        guard runtime == .sandbox else { return nil }
        if container.command.isEmpty, container.arguments.isEmpty { return "a sandbox needs a command to run" }
        if let bad = networks.first(where: { $0.target == "host" || $0.target == "bridge" }) {
            return "a sandbox cannot be on the network \(bad.target): it has networks of the swarm, or none"
        }
        guard let option = sandboxOptions.first(where: \.isAsked)?.option else { return nil }
        return "\(option) needs a container engine: a sandbox of Weft's own has none of it"
    }

    /// What is the engine's alone, as the command line calls it.
    private var sandboxOptions: [(option: String, isAsked: Bool)] {
        let given = container
        return [
            ("an image", !given.image.isEmpty), ("--user", !given.user.isEmpty), ("--group", !given.groups.isEmpty),
            ("--mount", !given.mounts.isEmpty), ("--read-only", given.isReadOnly), ("--init", given.usesInit == true),
            ("--health-cmd", given.healthcheck.map { !$0.test.isEmpty && $0.test != ["NONE"] } ?? false),
            ("--sysctl", !given.sysctls.isEmpty), ("--cap-add", !given.addedCapabilities.isEmpty),
            ("--cap-drop", !given.droppedCapabilities.isEmpty), ("--ulimit", !given.limits.isEmpty),
            ("--oom-score-adj", given.oomScoreAdjustment != 0), ("--host", !given.hosts.isEmpty),
            ("--dns", !given.dns.nameservers.isEmpty),
            ("--isolation", !["", "default"].contains(given.isolation)),
            ("--credential-spec", given.privileges != nil), ("--log-driver", logDriver != nil),
            ("--limit-cpu", limits.nanoCPUs != 0), ("--limit-memory", limits.memoryBytes != 0),
            ("--limit-pids", limits.pids != 0),
        ]
    }
}
