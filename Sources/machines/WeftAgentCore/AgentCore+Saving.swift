import WeftDatapath
import WeftModel
import WeftNode

/// What goes to the disk.
extension AgentCore {
    /// Nil, or why nothing could be saved.
    mutating func saveOwn() -> String? {
        let change = machine.takeOwnChange()
        guard !change.isEmpty else { return nil }
        for endpoint in change.own.endpoints { placements.assign(machine.ownEndpoints(of: endpoint.sandbox)) }
        for id in change.removedEndpoints { placements.forget(id) }
        let indexes = change.own.endpoints.compactMap { endpoint in
            placements.interfaceIndexes[endpoint.id].map { (endpoint.id, $0) }
        }
        do {
            try store.saveOwn(change, interfaceIndexes: Dictionary(indexes, uniquingKeysWith: { first, _ in first }))
            noteSaving(nil)
            return nil
        } catch {
            noteFailure(of: error)
            return "\(error)"
        }
    }

    mutating func saveView() {
        viewIsDirty = false
        // What the manager said is of no use without what is the node's own.
        guard saveOwn() == nil else { return }
        do { try store.saveView(machine.takeViewChange()) } catch { noteFailure(of: error) }
    }

    private mutating func noteFailure(of error: any Error) {
        machine.noteUnsaved()
        viewIsDirty = true
        isUnableToSave = true
        noteSaving("\(error)")
    }

    /// A disk that is full is so for long, and told once.
    private mutating func noteSaving(_ failure: String?) {
        defer { saveFailure = failure }
        if failure != saveFailure { outlet.note(.savingFailed(failure)) }
    }
}

// MARK: What data path and names are told

extension AgentCore {
    /// What data path and names do not know yet.
    ///
    /// It is on disk before the kernel hears of it: after a crash at any moment the next process would take what the kernel has and the
    /// disk has not for what is gone, and cut traffic until the manager has spoken.
    mutating func takeChange() -> ViewChange {
        if viewIsDirty, !isUnableToSave { saveView() }
        let changes = machine.takeChanges()
        if changes.everything { return everything }
        var change = ViewChange()
        if changes.cluster { change.dataPathPort = machine.clusterView?.dataPathPort }
        for id in changes.networks { change.networks[id] = .some(machine.network(id)) }
        for id in changes.peers { change.peers[id] = .some(machine.peer(id)) }
        for id in changes.services { change.services[id] = .some(machine.assigned(ServiceView.self)[id]) }
        for id in changes.endpoints { change.endpoints[id] = part(id, machine.lastKnown(id)) }
        return change
    }

    /// All that data path and names are made from.
    package var everything: ViewChange {
        var change = ViewChange()
        change.isWhole = true
        change.dataPathPort = machine.clusterView?.dataPathPort
        for network in machine.networks { change.networks[network.id] = .some(network) }
        for peer in machine.peers { change.peers[peer.id] = .some(peer) }
        for service in machine.assigned(ServiceView.self).values { change.services[service.id] = .some(service) }
        machine.forEachEndpoint { change.endpoints[$0.id] = part($0.id, $0) }
        return change
    }

    private func part(_ id: EndpointID, _ endpoint: Endpoint?) -> ViewChange.Part {
        var part = ViewChange.Part(endpoint: endpoint)
        guard let own = machine.ownEndpoint(id) else { return part }
        let engine = machine.engineState(of: id)
        if engine.isEngine {
            part.attachment = SandboxAttachment(engine: own, isNew: engine.isNew)
        } else if own.sandbox == .hostIngress {
            part.attachment = SandboxAttachment(host: own)
        } else if let placement = placements.placement(of: own) {
            part.attachment = SandboxAttachment(
                endpoint: own, namespacePath: placement.namespacePath, interfaceNumber: placement.interfaceIndex,
                interfaceName: placement.chosen?.name, takesDefaultRoute: placement.chosen?.takesDefaultRoute ?? true)
        } else {
            part.problem = "its sandbox \(own.sandbox) is not on this host any more"
        }
        return part
    }
}
