import Logging
import WeftAPI
import WeftAgent
import WeftEngine
import WeftMembership
import WeftModel
import WeftNode

/// Containers of an engine that takes no network driver, as the API asks for them.
struct ContainerVerbs: ContainerNetworking {
    let membership: NodeMembership<Member>
    let workloads: Workloads
    private var logger: Logger { workloads.logger }
    private var member: Member? { membership.member }
    private var prepared: ContainerKeeper { workloads.containers }

    func containers() async throws -> [ContainerStatus] {
        let own = try await member?.agent.read { $0.ownEndpoints } ?? []
        let endpoints = Dictionary(grouping: own, by: \.sandbox)
        return try await prepared.records.map { record in
            let present = record.container.flatMap { endpoints[$0] } ?? []
            return ContainerStatus(
                container: record, namespacePath: prepared.namespacePath(token: record.token),
                // Without a name: the container does not run.
                endpoints: Dictionary(present.filter { !$0.name.isEmpty }.map { ($0.network, $0) }) { first, _ in first })
        }
    }

    func prepare(_ container: PreparedContainer) async throws -> String {
        _ = try membership.required
        return try await prepared.prepare(container)
    }

    func created(token: String, container: SandboxID, name: String) async throws {
        try await prepared.created(token: token, container: container, name: name)
        await workloads.useUpstreams(of: member)
    }

    func discard(token: String) async {
        await logged("a container that was not created is left") { try await prepared.discard(token: token) }
    }

    func starting(
        token: String, _ body: @Sendable @escaping () async throws -> EngineResponse
    ) async throws -> EngineResponse {
        try await prepared.starting(token, body)
    }

    func settle(_ container: SandboxID, isStop: Bool) async {
        await workloads.follower.look(at: container.rawValue)
        guard isStop else { return }
        await logged("a container that was stopped is on its networks still") { try await prepared.ended(container) }
    }

    private func logged(_ what: String, _ body: () async throws -> Void) async {
        do { try await body() } catch { logger.error("\(what)", metadata: ["error": "\(error)"]) }
    }

    func connect(
        token: String, _ attachment: InterfaceSpec, networkName: String, isRunning: Bool
    ) async throws {
        try await prepared.connect(token, attachment, networkName: networkName, isRunning: isRunning)
    }

    func disconnect(token: String, network: NetworkID, networkName: String) async throws {
        try await prepared.disconnect(token, network: network, networkName: networkName)
    }
}
