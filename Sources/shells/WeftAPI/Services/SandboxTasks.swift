import WeftModel

/// What a task of Weft's own sandboxes can have of what a container can.
extension TaskSpec {
    /// Refuses what a sandbox cannot honour, by the name that the Engine API has for it.
    func checkSandbox() throws(APIError) {
        guard container.image.isEmpty else {
            throw .badRequest(
                "a sandbox has no image, and \(container.image) was given: give ContainerSpec.Rootfs, a directory that each node has, or "
                    + "leave out Runtime for a container")
        }
        guard !(container.command + container.arguments).isEmpty else {
            throw .badRequest("ContainerSpec.Command is missing; name the program that the sandbox runs, and its arguments")
        }
        for (name, path) in [("Rootfs", container.rootfs ?? "/"), ("Dir", container.directory.isEmpty ? "/" : container.directory)] {
            guard path.hasPrefix("/") else { throw .badRequest("ContainerSpec.\(name) is \"\(path)\"; give an absolute path") }
        }
        if let refused = sandboxRefusals.first(where: \.isSaid) {
            throw .unavailable(
                "\(refused.name) is not available for sandboxes in this version of Weft; leave it out, or run an image in a container "
                    + "engine")
        }
        if let network = networks.first(where: { NetworkSpec.predefinedNames.contains($0.target) }) {
            throw .badRequest("the network \(network.target) is a container engine's; a sandbox can be on the swarm's networks")
        }
    }

    private var sandboxRefusals: [(name: String, isSaid: Bool)] {
        let container = container
        return [
            ("ContainerSpec.Labels", !container.labels.isEmpty), ("ContainerSpec.User", !container.user.isEmpty),
            ("ContainerSpec.Groups", !container.groups.isEmpty), ("ContainerSpec.Privileges", container.privileges != nil),
            ("ContainerSpec.Init", container.usesInit == true), ("ContainerSpec.ReadOnly", container.isReadOnly),
            ("ContainerSpec.Mounts", !container.mounts.isEmpty), ("ContainerSpec.Healthcheck", container.healthcheck != nil),
            ("ContainerSpec.Secrets", !container.secrets.isEmpty), ("ContainerSpec.Configs", !container.configs.isEmpty),
            ("ContainerSpec.Sysctls", !container.sysctls.isEmpty),
            ("ContainerSpec.CapabilityAdd", !container.addedCapabilities.isEmpty),
            ("ContainerSpec.CapabilityDrop", !container.droppedCapabilities.isEmpty),
            ("ContainerSpec.Ulimits", !container.limits.isEmpty), ("ContainerSpec.OomScoreAdj", container.oomScoreAdjustment != 0),
            ("ContainerSpec.Hosts", !container.hosts.isEmpty), ("ContainerSpec.DNSConfig.Nameservers", !container.dns.nameservers.isEmpty),
            ("Resources.Limits", limits != ResourceAmounts()), ("LogDriver", logDriver != nil),
        ]
    }
}
