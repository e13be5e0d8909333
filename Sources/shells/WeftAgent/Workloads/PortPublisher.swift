package import Logging
import WeftModel
import WeftNet
import WeftNode
import WeftThreads

/// The host's ports that lead into this node's workloads: an engine's containers in namespaces of Weft's, and sandboxes.
///
/// It lives on a thread of its own, where it changes the host's rules; what is published by all workloads is changed by one after another.
package actor PortPublisher {
    private let thread = BlockingExecutor()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let ports: any PortPublishing
    private let logger: Logger
    /// Of workloads that have ports published.
    private var published: [WorkloadID: Published] = [:]

    private struct Published {
        var ports: [PublishedPort]
        /// The host's ends of its endpoints.
        var interfaces: Set<EndpointID>
    }

    package init(ports: any PortPublishing, logger: Logger) {
        self.ports = ports
        self.logger = logger
    }

    func forget(_ id: WorkloadID) { if published.removeValue(forKey: id) != nil { publish() } }

    /// Chooses the host's ports of a workload anew, and publishes them by its first network that reaches the
    /// outside.
    func attached(_ endpoints: AttachedEndpoints, to workload: Workload) throws -> Workload.Prepared? {
        guard var prepared = workload.prepared, !prepared.ports.isEmpty else { return nil }
        let target = endpoints.endpoints.first { !endpoints.internals.contains($0.network) }
        if target == nil, !endpoints.endpoints.isEmpty, prepared.published.isEmpty,
            let port = prepared.ports.first
        {
            throw PreparedContainerError.noWayOut(port.protocol, port.containerPort)
        }
        let former = published[workload.id]
        let chosen = try target.map { try choose(prepared, target: $0, for: workload.id) } ?? []
        published[workload.id] =
            chosen.isEmpty ? nil : Published(ports: chosen, interfaces: target.map { [$0.id] } ?? [])
        do { try publishAll() } catch {
            // What is no more does not come back because the others' rules cannot be written.
            if !chosen.isEmpty { published[workload.id] = former }
            throw error
        }
        guard prepared.published != chosen else { return nil }
        prepared.published = chosen
        return prepared
    }

    private func choose(_ prepared: Workload.Prepared, target: Endpoint, for id: WorkloadID) throws
        -> [PublishedPort]
    {
        let others = published.filter { $0.key != id }.flatMap(\.value.ports)
        var chosen: [PublishedPort] = []
        for wanted in prepared.ports {
            func port(_ number: UInt16) -> PublishedPort {
                PublishedPort(wanted: wanted, hostPort: number, target: target.ipv4)
            }
            let former = prepared.published.first { $0.wanted == wanted }?.hostPort
            if let former, !(others + chosen).contains(where: { $0.collides(with: port(former)) }) {
                chosen.append(port(former))
                continue
            }
            let taken = Set((others + chosen).filter { port($0.hostPort).collides(with: $0) }.map(\.hostPort))
            guard let free = try ports.freePort(for: wanted, taken: taken) else {
                throw PreparedContainerError.portTaken(wanted)
            }
            chosen.append(port(free))
        }
        return chosen
    }

    private func publishAll() throws {
        let all = published.sorted { $0.key < $1.key }.map(\.value)
        try ports.publish(
            all.flatMap(\.ports), interfaces: all.reduce(into: []) { $0.formUnion($1.interfaces) })
    }

    private func publish() {
        do { try publishAll() } catch {
            logger.error("published ports are not as they should be", metadata: ["error": "\(error)"])
        }
    }

    /// Puts back what others took away from the host's rules, every few seconds, until cancellation.
    package func run() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(10))
            publish()
        }
    }
}
