package import Logging
import WeftEngine
package import WeftModel

/// What the engine says of its containers.
package struct ContainerNews: ContainerObserver {
    private let prepared: ContainerKeeper
    private let logger: Logger

    package init(prepared: ContainerKeeper, logger: Logger) {
        self.prepared = prepared
        self.logger = logger
    }

    package func containerRuns(_ container: SandboxID, name: String, namespacePath: String) async {
        await take(up: container, name: name, namespacePath: namespacePath, .running)
    }

    package func containerStopped(_ container: SandboxID, name: String, namespacePath: String, isFinal: Bool) async {
        await take(up: container, name: name, namespacePath: namespacePath, .stopped(isFinal: isFinal))
    }

    package func containerGone(_ container: SandboxID) async {
        await logged(container.rawValue) { try await prepared.gone(container) }
    }

    package func containersFound(_ all: Set<SandboxID>, asOf: ContinuousClock.Instant) { prepared.found(all, asOf: asOf) }

    package func preparedContainers() async -> Set<SandboxID> {
        var known: Set<SandboxID> = []
        await logged("") { known = Set(try await prepared.records.compactMap(\.container)) }
        return known
    }

    private func take(
        up container: SandboxID, name: String, namespacePath: String, _ state: ContainerKeeper.State
    ) async {
        await logged(name) {
            // The engine created it, and weftd ended before it heard of that.
            if let record = try await prepared.record(namespacePath: namespacePath), record.container == nil {
                try await prepared.created(token: record.token, container: container, name: name)
            }
            try await prepared.observe(container, name: name, state)
        }
    }

    private func logged(_ container: String, _ body: () async throws -> Void) async {
        do { try await body() } catch {
            logger.error(
                "what the engine says of a container has no effect",
                metadata: ["container": "\(container)", "error": "\(error)"])
        }
    }
}
