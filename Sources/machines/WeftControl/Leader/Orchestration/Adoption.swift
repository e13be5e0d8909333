import WeftModel

/// Tasks that are already what another spec than theirs asks for: those of an update that was taken back, and those of which a new spec
/// says nothing but where they may be, and they are there, or how an image is got that they have got.
extension ServiceTurn {
    /// Counts them as made of the newest spec, so that nothing replaces them.
    mutating func adopt(in round: borrowing Round) {
        guard let service, !service.spec.mode.isJob else { return }
        let newestSpec = service.spec.task
        for place in tasks.sortedPlaces {
            let newest = tasks.newest(at: place)?.id
            for task in tasks.places[place] ?? [] where task.specVersion != service.specVersion && (task.isWanted || task.id == newest) {
                guard let node = task.node.flatMap({ round.tables.nodes[$0] }), task.isAsked(by: service) else { continue }
                guard task.spec.placement == newestSpec.placement || suits(node, service) else { continue }
                tasks.change(task) { $0.adopt(newestSpec, of: service.specVersion) }
            }
        }
    }

    /// Whether tasks of the newest spec may be on a node, whatever else is there.
    mutating func suits(_ node: Node, _ service: Service) -> Bool {
        let placement = service.spec.task.placement
        guard constraints(of: service).allSatisfy({ $0.isMet(by: node) }) else { return false }
        return placement.platforms.isEmpty || placement.platforms.contains { $0.suits(node) }
    }
}

extension ServiceTask {
    /// Nothing that its service asks of it is otherwise than when it was made, but where it may be, and what an image is got with that
    /// is there.
    fileprivate func isAsked(by service: Service) -> Bool {
        var wanted = service.spec.task
        wanted.placement = spec.placement
        if (.ready ... .running).contains(status.state) {
            wanted.container.registryCredentials = spec.container.registryCredentials
        }
        return spec == wanted && TaskBinding(self).suffices(for: TaskBinding(service.spec.endpoint))
    }
}
