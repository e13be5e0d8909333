package import Logging
import WeftHTTP
package import WeftModel

/// Who is told of the containers of an engine that takes no network driver.
package protocol ContainerObserver: Sendable {
    /// The container runs (again), by this name.
    func containerRuns(_ container: SandboxID, name: String, namespacePath: String) async
    /// The container does not run. `isFinal`: the engine will not start it again by itself.
    func containerStopped(_ container: SandboxID, name: String, namespacePath: String, isFinal: Bool) async
    func containerGone(_ container: SandboxID) async
    /// All containers of the engine, which was asked after `asOf`.
    func containersFound(_ all: Set<SandboxID>, asOf: ContinuousClock.Instant) async
    /// The containers that weftd prepared.
    func preparedContainers() async -> Set<SandboxID>
}

/// Tells of containers what the engine says of them now, whatever event was the reason to ask: events may come late.
package actor ContainerFollower {
    private let engine: Engine
    private let observer: any ContainerObserver
    private let logger: Logger
    /// Looks at a container, one after another: what is told last is what was read last.
    private var looks: [String: Task<Void, Never>] = [:]

    package init(engine: LocalEngine, observer: any ContainerObserver, logger: Logger) {
        self.engine = engine.engine
        self.observer = observer
        self.logger = logger
    }

    func handle(_ event: EngineEvent) async {
        guard event.Type == "container" else { return }
        switch event.Action {
        case "start", "die", "died", "rename", "cleanup", "remove", "destroy", "create": await look(at: event.Actor.ID)
        default: break
        }
    }

    /// Looks at all containers, those that were created while weftd was not there among them.
    func lookAround() async { await round { _ in true } }

    /// Looks at those that are prepared.
    func look() async {
        let prepared = await observer.preparedContainers()
        guard !prepared.isEmpty else { return }
        await round { prepared.contains($0) }
    }

    private func round(_ isWanted: (SandboxID) -> Bool) async {
        let asOf = ContinuousClock.now
        do {
            let all = Set(try await engine.containers().map { SandboxID($0.Id) })
            for container in all.sorted() where isWanted(container) { await look(at: container.rawValue) }
            await observer.containersFound(all, asOf: asOf)
        } catch EngineError.absent {
        } catch is CancellationError {
        } catch {
            logger.warning("the engine's containers cannot be listed", metadata: ["reason": "\(error)"])
        }
    }

    /// Returns once what the engine says of the container now has been told.
    package func look(at id: String) async {
        let before = looks[id]
        let look = Task {
            await before?.value
            await self.read(id)
        }
        looks[id] = look
        await look.valueUnlessCancelled
        if looks[id] == look { looks[id] = nil }
    }

    private func read(_ id: String) async {
        do {
            guard let container = try await engine.container(id) else {
                return await observer.containerGone(SandboxID(id))
            }
            let name = String(container.Name.drop { $0 == "/" })
            let path = container.namespacePath ?? ""
            if container.isRunning {
                await observer.containerRuns(SandboxID(container.Id), name: name, namespacePath: path)
            } else {
                await observer.containerStopped(
                    SandboxID(container.Id), name: name, namespacePath: path, isFinal: !container.mayRestart)
            }
        } catch {
            logger.debug("a container cannot be looked at", metadata: ["container": "\(id)", "reason": "\(error)"])
        }
    }
}
