import WeftModel

/// What a service's spec names must be there.
enum ServiceReferences {
    static func check(_ spec: ServiceSpec, of own: Service?, in round: Round) throws(ControlError) {
        try checkNetworks(spec.task.networks, in: round)
        try checkFiles(spec.task.container.secrets, StoredSecret.self, "secret", in: round)
        try checkFiles(spec.task.container.configs, StoredConfig.self, "config", in: round)
        // Who changes something else is not refused for a port that is not to be had.
        if own.map({ PortRules.differ($0.spec, spec) }) ?? true {
            try PortRules.checkConflicts(spec, of: own?.id, in: round)
        }
        let isPublished = spec.endpoint?.ports.contains { $0.mode == .ingress } ?? false
        if isPublished, !round.tables.networks.values.contains(where: \.spec.ingress) {
            throw ControlError(
                .failedPrecondition,
                "rpc error: code = FailedPrecondition desc = service needs ingress network, but no ingress network is present")
        }
    }

    private static func checkNetworks(_ networks: [TaskNetwork], in round: Round) throws(ControlError) {
        for target in networks.map(\.target) where !NetworkSpec.predefinedNames.contains(target) {
            guard let network = round.tables.networks[NetworkID(target)] else {
                throw ControlError(.notFound, "rpc error: code = NotFound desc = network \(target) not found")
            }
            if network.spec.ingress {
                throw .invalidArgument("Service cannot be explicitly attached to the ingress network \"\(network.spec.name)\"")
            }
        }
    }

    private static func checkFiles<File: SharedFile>(
        _ references: [ContainerSpec.FileReference], _ type: File.Type, _ what: String, in round: Round
    ) throws(ControlError) {
        let missing = references.filter { round.tables.byKind[type][$0.id]?.spec.name != $0.name }.map(\.name)
        guard missing.isEmpty else {
            throw .invalidArgument("\(missing.count == 1 ? what : what + "s") not found: \(missing.joined(separator: ", "))")
        }
    }
}
