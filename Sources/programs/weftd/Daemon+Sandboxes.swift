import NIOPosix
import WeftAPI
import WeftAgent
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftMembership
import WeftModel
import WeftNet
import WeftNode
import WeftSandbox
import WeftWire

/// What the API asks for of sandboxes.
struct SandboxVerbs: SandboxBackend {
    let membership: NodeMembership<Member>
    let workloads: Workloads
    private var member: Member? { membership.member }
    private var keeper: SandboxKeeper { workloads.sandboxes }

    func sandboxes() async throws -> [SandboxSummary] { try await summaries(of: keeper.list()) }

    func sandboxes(matching reference: String) async throws -> [SandboxSummary] {
        try await summaries(of: keeper.matching(reference))
    }

    private func summaries(of entries: [SandboxStore.Entry]) async throws -> [SandboxSummary] {
        let ids = entries.map { SandboxID($0.spec.id) }
        let endpoints = try await member?.agent.read { machine in
            ids.map { id in
                machine.ownEndpoints(of: id).compactMap { endpoint in
                    machine.network(endpoint.network).map { EndpointSummary(endpoint, on: $0) }
                }
            }
        }
        return entries.indices.map { summary(entries[$0], endpoints: endpoints?[$0] ?? []) }
    }

    private func summary(_ entry: SandboxStore.Entry, endpoints: [EndpointSummary]) -> SandboxSummary {
        let (spec, state) = (entry.spec, entry.state)
        func instant(_ nanoseconds: UInt64?) -> Instant? { nanoseconds.map { Instant(nanoseconds: Int64($0)) } }
        let status: SandboxSummary.State =
            switch state?.status {
            case .created?: state?.isAlive == true ? .created : .exited
            case .running?: .running
            case .exited?, nil: .exited
            }
        var summary = SandboxSummary(
            id: SandboxID(spec.id), name: spec.name, hostname: spec.hostname, command: spec.command,
            createdAt: instant(state?.createdAt) ?? Instant(nanoseconds: 0), state: status,
            socket: entry.directory.socket, directory: entry.directory.path)
        summary.startedAt = instant(state?.startedAt)
        summary.finishedAt = instant(state?.finishedAt)
        summary.exitCode = Int(state?.exitCode ?? 0)
        summary.pid = status == .exited ? 0 : Int(state?.pid ?? 0)
        summary.endpoints = endpoints
        return summary
    }

    func sandboxCreate(_ request: SandboxCreateRequest) async throws -> SandboxCreated {
        var generator = SystemRandomNumberGenerator()
        let id = SandboxID.random(using: &generator)
        let short = String(id.rawValue.prefix(12))
        let upstreams = request.dns.map(\.description)
        var spec = SandboxSpec(
            id: id.rawValue, name: request.name ?? "sandbox-\(short.prefix(8))", hostname: request.hostname ?? short,
            command: request.command, environment: request.environment, rootfs: request.rootFS,
            workingDirectory: request.workingDirectory, terminal: request.tty, openStdin: request.openStdin,
            resolver: Self.resolver(hasNetwork: !request.networks.isEmpty, upstreams: upstreams),
            networks: "")
        spec.autoRemove = request.autoRemove
        spec.upstreams = upstreams
        if !request.dns.isEmpty {
            await workloads.useUpstreams(of: member, adding: [id: request.dns])
        }
        let entry = try await keeper.create(spec, endpoints: request.networks)
        return SandboxCreated(
            id: id, name: entry.spec.name, socket: entry.directory.socket, directory: entry.directory.path)
    }

    /// A sandbox on a network asks weftd, one without asks the host's resolvers.
    static func resolver(hasNetwork: Bool, upstreams: [String] = []) -> SandboxSpec.Resolver {
        if hasNetwork { return .init(addresses: [KernelDatapath.resolverAddress.description], options: ["ndots:0"]) }
        if !upstreams.isEmpty { return .init(addresses: upstreams) }
        let text = (try? FileSystem.readText("/etc/resolv.conf")) ?? ""
        let servers = text.split(separator: "\n").compactMap { line -> String? in
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.count > 1 && words[0] == "nameserver" ? String(words[1]) : nil
        }
        return .init(addresses: servers)
    }

    func sandboxStart(_ id: SandboxID) async throws {
        try await keeper.startProcess(id.rawValue)
    }

    func sandboxStop(_ id: SandboxID, timeout: Duration) async throws {
        try await keeper.stopProcess(id.rawValue, timeout: timeout)
    }

    func sandboxKill(_ id: SandboxID, signal: Int32) async throws {
        try await keeper.signal(id.rawValue, signal)
    }

    func sandboxRemove(_ id: SandboxID, force: Bool) async throws {
        try await keeper.remove(id.rawValue, force: force)
    }

    func sandboxConnect(_ id: SandboxID, _ endpoint: EndpointSpec) async throws {
        try await keeper.connect(id.rawValue, endpoint)
    }

    func sandboxDisconnect(_ id: SandboxID, network: NetworkID) async throws {
        _ = try membership.required
        guard try await keeper.disconnect(id.rawValue, network: network) else {
            throw NotConnected(sandbox: id, network: network)
        }
    }
}

private struct NotConnected: KindedError {
    let sandbox: SandboxID
    let network: NetworkID
    var errorKind: ErrorKind { .notFound }
    var description: String { "sandbox \(sandbox) is not connected to network \(network)" }
}
