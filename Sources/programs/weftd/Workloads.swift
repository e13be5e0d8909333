import Logging
import NIOPosix
import WeftAgent
import WeftEngine
import WeftMembership
import WeftModel
import WeftNet
import WeftNode
import WeftPlugin
import WeftSandbox

/// All on this host that has endpoints: they go along with its memberships.
struct Workloads: MemberFollowers {
    let keeper: WorkloadKeeper
    let sandboxDriver: SandboxDriver
    let publisher: PortPublisher
    // The same, as they are asked for.
    let sandboxes: SandboxKeeper
    let attachments: AttachmentKeeper
    let containers: ContainerKeeper
    let follower: ContainerFollower
    /// What services run here.
    let tasks: TaskKeeper
    /// What weftd answers inside containers.
    let names: ContainerNames
    /// The engine's driver; nil: there is none.
    let plugin: PluginService?
    let logger: Logger

    /// Takes up what earlier runs left.
    func start() async { await keeper.start() }

    /// Looks after them until cancelled.
    func run() async { await publisher.run() }

    func stop() async {
        await tasks.shutDown()
        await keeper.shutDown()
        await sandboxDriver.stop()
    }

    /// The agent of a member to be, and what lives here for it: endpoints whose sandboxes live must not be taken for leftovers.
    /// The namespaces' paths.
    func adopt(by agent: Agent) async -> [SandboxID: String] {
        tasks.use(agent)
        return await keeper.use(agent)
    }

    /// What a member is to run.
    func assign(_ assigned: AssignedTasks) { tasks.assigned(assigned) }

    /// Endpoints of the member ended by themselves.
    func lose(_ endpoints: [Endpoint]) { keeper.lost(endpoints) }

    var sandboxNames: [SandboxID: String] {
        get async {
            Dictionary(await sandboxes.list().map { (SandboxID($0.spec.id), $0.spec.name) }) { first, _ in first }
        }
    }

    /// A member began.
    func follow(_ member: Member) async {
        do { try await keeper.follow() } catch {
            logger.error("what runs here is not taken up by the swarm", metadata: ["error": "\(error)"])
        }
        await useUpstreams(of: member)
        tasks.follow()
        // None has a door of an earlier member's: those went with its resolver.
        for (endpoint, path) in await plugin?.joined ?? [:] {
            await names.join(endpoint, path: path, mayCome: false, by: member.doors)
        }
    }

    func closeDoors() async { await names.endAll() }

    func forget() async {
        tasks.leave()
        await plugin?.forget()
    }

    /// There is no member any more.
    func release() async {
        tasks.use(nil)
        await keeper.use(nil)
    }

    /// Sandboxes and containers that were given resolvers of their own, and those about to be made.
    func useUpstreams(of member: Member?, adding new: [SandboxID: [IPv4Address]] = [:]) async {
        guard let member else { return }
        var upstreams = new
        do { upstreams.merge(try await containers.upstreams) { new, _ in new } } catch {
            logger.warning("resolvers of containers are not known now", metadata: ["error": "\(error)"])
        }
        for entry in await sandboxes.list() where !entry.spec.upstreams.isEmpty {
            upstreams[SandboxID(entry.spec.id)] = entry.spec.upstreams.compactMap { IPv4Address($0) }
        }
        member.resolver.use(upstreams: upstreams)
    }
}
