import WeftHTTP
package import WeftModel

/// The engine's networks that stand for the cluster's: made when first needed, removed when nobody needs them any more.
///
/// Everything that concerns one of the cluster's networks is done one after another, so that ten containers that start at once
/// make one shadow, and none is removed under a container that is just being made.
package actor ShadowNetworks {
    /// On the engine's network: the cluster's id.
    package static let label = Constants.networkLabel
    /// The same as a driver and IPAM option, which is all that the engine's plugin is told.
    package static let option = Constants.networkOption
    /// The name of Weft's driver, which the engine takes from the plugin's socket.
    static let driver = "weft"
    /// How long a shadow that no container uses is kept.
    static let idleLifetime = Duration.seconds(60)

    /// Something else of the engine has the network's name.
    package struct NameTaken: Error, CustomStringConvertible {
        package let name: String
        package var description: String {
            "network \(name) of the swarm cannot be used here: this node's container engine has a network of its own by that "
                + "name; remove or rename one of the two"
        }
    }

    private let engine: Engine
    /// Cluster's id by the engine's, as last seen.
    private var shadows: [String: String] = [:]
    /// The last of what is done for a network, while it is.
    private var queues: [NetworkID: Task<Void, Never>] = [:]
    /// Requests under way that need the shadow.
    private var holds: [NetworkID: Int] = [:]
    private var idleSince: [String: ContinuousClock.Instant] = [:]

    package init(engine: Engine) { self.engine = engine }

    /// Cluster's network id by the engine's, for answers in which the engine's must not show.
    package var identities: [String: String] { shadows }

    /// Runs `body` with the network's shadow in place; it is not removed meanwhile.
    package func with<Value: Sendable>(
        _ networks: [Network], _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        for network in networks { holds[network.id, default: 0] += 1 }
        defer {
            for network in networks {
                let left = (holds[network.id] ?? 1) - 1
                holds[network.id] = left > 0 ? left : nil
            }
        }
        for network in networks { try await ensure(network) }
        return try await body()
    }

    private func ensure(_ network: Network) async throws {
        let before = queues[network.id]
        let made = Task { () -> Result<Void, any Error> in
            await before?.value
            do {
                try await self.create(network)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        let turn = Task { _ = await made.value }
        queues[network.id] = turn
        defer { end(turn, of: network.id) }
        try await made.valueUnlessCancelled.get()
    }

    /// The cluster's network that one of the engine's stands for; the engine is asked about one that is not known yet, which a
    /// user may have made.
    package func identity(of id: String) async -> String? {
        if let known = shadows[id] { return known }
        guard let cluster = try? await engine.network(id)?.clusterNetwork else { return nil }
        shadows[id] = cluster
        return cluster
    }

    /// After the last turn nothing is kept of the network.
    private func end(_ turn: Task<Void, Never>, of network: NetworkID) {
        if queues[network] == turn { queues[network] = nil }
    }

    private func create(_ network: Network) async throws {
        if let present = try await engine.network(network.spec.name), present.Name == network.spec.name {
            // Weft's own, or one that a user made by hand.
            if present.clusterNetwork == network.id.rawValue {
                shadows[present.Id] = network.id.rawValue
                return
            }
            // Of a network that had the name before.
            guard present.shadowOf != nil else { throw NameTaken(name: network.spec.name) }
            try await engine.removeNetwork(present.Id)
            shadows[present.Id] = nil
        }
        let id = try await engine.createShadow(of: network)
        shadows[id] = network.id.rawValue
        idleSince[id] = nil
    }

    /// Reads the shadows anew and removes those that are of no use: the cluster's network is gone, or no container, running or
    /// not, has used it for a while.
    package func collect(keeping networks: [Network]) async throws {
        let present = try await engine.shadows()
        let containers = try await engine.containers()
        shadows = Dictionary(present.map { ($0.Id, $0.clusterNetwork ?? "") }) { first, _ in first }
        let known = Set(networks.map(\.id.rawValue))
        idleSince = idleSince.filter { shadows[$0.key] != nil }
        for shadow in present {
            guard let cluster = shadow.shadowOf else { continue }
            // By name, too: a container that does not run refers to the network by nothing else.
            let isUsed = containers.contains { container in
                (container.NetworkSettings?.Networks ?? [:]).contains { name, attachment in
                    attachment.NetworkID == shadow.Id || (name == shadow.Name && known.contains(cluster))
                }
            }
            let isHeld = holds.contains { $0.key.rawValue == cluster }
            if known.contains(cluster), isUsed || isHeld {
                idleSince[shadow.Id] = nil
                continue
            }
            let since = idleSince[shadow.Id] ?? .now
            idleSince[shadow.Id] = since
            guard !known.contains(cluster) || ContinuousClock.now - since >= Self.idleLifetime else { continue }
            await remove(shadow.Id, NetworkID(cluster))
        }
    }

    /// In the queue of the network, and not while somebody needs it.
    private func remove(_ id: String, _ network: NetworkID) async {
        let before = queues[network]
        let removal = Task {
            await before?.value
            guard self.holds[network] == nil else { return }
            // The engine itself refuses while an endpoint is left; then the next round tries again.
            guard (try? await self.engine.removeNetwork(id)) != nil else { return }
            self.shadows[id] = nil
            self.idleSince[id] = nil
        }
        queues[network] = removal
        await removal.valueUnlessCancelled
        end(removal, of: network)
    }
}
