package import WeftDNS

extension NameTable {
    /// Takes over what changed.
    package mutating func apply(_ change: ViewChange) {
        guard !change.isWhole else {
            self = NameTable(
                node: node, networks: change.networks.values.compactMap(\.self),
                endpoints: change.endpoints.values.compactMap(\.endpoint), peers: change.peers.values.compactMap(\.self),
                services: change.services.values.compactMap(\.self))
            return
        }
        for (id, network) in change.networks {
            if let network { insert([network]) } else { removeNetwork(id) }
        }
        for (id, peer) in change.peers {
            if let peer { insert(peer) } else { removePeer(id) }
        }
        for (id, service) in change.services {
            if let service { insert(service) } else { removeService(id) }
        }
        for (id, part) in change.endpoints {
            if let endpoint = part.endpoint { insert(endpoint) } else { removeEndpoint(id) }
        }
    }
}
