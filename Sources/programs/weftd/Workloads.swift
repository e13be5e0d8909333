import Logging
import NIOPosix
import WeftAgent
import WeftMembership
import WeftModel
import WeftNet
import WeftPlugin
import WeftSandbox

/// All on this host that has endpoints: they go along with its memberships.
struct Workloads: MemberFollowers {
    let sandboxes: SandboxKeeper
    let attachments: AttachmentKeeper
    let containers: ContainerKeeper
    /// What weftd answers inside containers.
    let names: ContainerNames
    /// The engine's driver; nil: there is none.
    let plugin: PluginService?
    let logger: Logger

    /// Takes up what earlier runs left.
    func start() async {
        await sandboxes.start()
        do { try await attachments.start() } catch {
            logger.error("the attachments of earlier runs cannot be read", metadata: ["error": "\(error)"])
        }
        do { try await containers.start() } catch {
            logger.error("the containers of earlier runs cannot be prepared", metadata: ["error": "\(error)"])
        }
    }

    /// Looks after them until cancelled.
    func run() async {
        await withTaskGroup { group in
            group.addTask { await attachments.run() }
            group.addTask { await containers.run() }
        }
    }

    func stop() async { await sandboxes.stop() }

    /// The agent of a member to be, and what lives here for it: endpoints whose sandboxes live must not be taken for leftovers.
    /// The namespaces' paths.
    func adopt(by agent: Agent) async -> [SandboxID: String] {
        await sandboxes.use(agent)
        await attachments.use(agent)
        let others = await attachments.namespaces
        return await sandboxes.namespaces().merging(others) { own, _ in own }
    }

    var sandboxNames: [SandboxID: String] {
        get async {
            Dictionary(await sandboxes.list().map { (SandboxID($0.spec.id), $0.spec.name) }) { first, _ in first }
        }
    }

    /// A member began.
    func follow(_ member: Member) async {
        await containers.use(member.agent)
        await useUpstreams(of: member)
        // None has a door of an earlier member's: those went with its resolver.
        for (endpoint, path) in await plugin?.joined ?? [:] {
            await names.join(endpoint, path: path, mayCome: false, by: member.doors)
        }
    }

    func closeDoors() async { await names.endAll() }

    func forget() async { await plugin?.forget() }

    /// There is no member any more.
    func release() async {
        await sandboxes.use(nil)
        await containers.use(nil)
        await attachments.use(nil)
    }

    /// Sandboxes and containers that were given resolvers of their own, and those about to be made.
    func useUpstreams(of member: Member?, adding new: [SandboxID: [IPv4Address]] = [:]) async {
        guard let member else { return }
        var upstreams = await containers.upstreams.merging(new) { _, new in new }
        for entry in await sandboxes.list() where !entry.spec.upstreams.isEmpty {
            upstreams[SandboxID(entry.spec.id)] = entry.spec.upstreams.compactMap { IPv4Address($0) }
        }
        member.resolver.use(upstreams: upstreams)
    }
}
