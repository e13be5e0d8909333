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
        if let refused = sandboxRefusal {
            throw .unavailable("\(refused.field) is not available for sandboxes in this version of Weft: \(refused.advice)")
        }
        if let network = networks.first(where: { NetworkSpec.predefinedNames.contains($0.target) }) {
            throw .badRequest("the network \(network.target) is a container engine's; a sandbox can be on the swarm's networks")
        }
        if let problem = sandboxProblem { throw .badRequest(problem) }
    }
}
