import FoundationEssentials
import NIOHTTP1
import WeftEngine
import WeftHTTP
import WeftModel
import WeftNet
import WeftText

extension Router {
    func networkList(_ request: APIRequest) async throws -> APIResponse {
        let filters = try Filters(
            request, allowed: ["driver", "id", "label", "name", "scope", "type", "dangling"])
        for type in filters["type"] where type != "custom" && type != "builtin" {
            throw APIError.badRequest("invalid filter 'type=\(type)'; give custom or builtin")
        }
        for text in filters["dangling"] where truth(text) == nil {
            throw APIError.badRequest("invalid filter 'dangling=\(text)'; give true or false")
        }
        let (snapshot, shapes) = try await networkView()
        let networks = snapshot.networks.sorted { ($0.spec.name, $0.id) < ($1.spec.name, $1.id) }.filter { network in
            filters.matches("driver") { $0 == "overlay" }
                && filters.matches("id") { fitsPattern(network.id.rawValue, $0) }
                && filters.matches("name") { fitsPattern(network.spec.name, $0) }
                && filters.matchesAll("label") { hasLabel(network.spec.labels, $0) }
                && filters.matches("scope") { $0 == "swarm" }
                // Only the engine's own three are built in.
                && filters.matches("type") { $0 == "custom" }
                && filters.matches("dangling") { truth($0) != shapes.isUsed(network) }
        }
        let own = networks.map { shapes.json($0, detailed: false) }
        let answer: EngineResponse
        switch try await hear(request) {
        case .answer(let heard): answer = heard
        case .absent: return .json(.array(own))
        case .silent(let error):
            var response = APIResponse.json(.array(own))
            response.headers.add(name: "Warning", value: "199 weft \"\(error): its networks are not among these\"")
            return response
        }
        guard case .array(let local)? = answer.json else { return APIResponse(answer) }
        // What stands for one of the swarm's must not show twice.
        return .json(.array(local.filter { $0["Labels"]?[ShadowNetworks.label] == nil } + own))
    }

    func networkInspect(_ request: APIRequest) async throws -> APIResponse {
        let (name, scope) = (request.path[1], request.query["scope"])
        if scope == "swarm", NetworkSpec.enginesForServices.contains(name), backend.swarmStanding().isManager {
            return .json(NetworkShapes.json(enginesOwn: name))
        }
        // Who reads by a whole name, or asks for the swarm's alone, waits for no engine.
        let directory =
            scope == "swarm"
            ? NetworkDirectory(swarm: try await backend.clusterNetworks()) : try await networks(for: [name], onlySwarm: true)
        switch try directory.meaning(of: name) {
        case .swarm(let network)? where scope == nil || scope == "swarm":
            let isVerbose = request.query.flag("verbose")
            let (_, shapes) = try await networkView(withServices: isVerbose)
            return .json(shapes.json(network, detailed: true, verbose: isVerbose))
        case .engine(let id, let known)? where scope != "swarm": return try await ask(request, onNetwork: id, named: known)
        default: throw APIError.networkNotFound(name)
        }
    }

    func networkCreate(_ request: APIRequest) async throws -> APIResponse {
        let fields = try request.fields()
        let present = try await backend.clusterNetworks()
        if engine != nil, try fields.text("Driver") != "overlay" {
            if let name = try fields.text("Name") {
                try checkFree(name, among: present.flatMap { [$0.spec.name, $0.id.rawValue] })
            }
            return APIResponse(try await ask(try localEngine(), request))
        }
        let spec = try NetworkSpec(request: fields)
        _ = try await managerState()
        try checkFree(spec.name, among: present.flatMap { [$0.spec.name, $0.id.rawValue] })
        let warning = try await refuseEnginesName(spec.name, for: request)
        let id = try await backend.networkCreate(spec)
        return .json(["Id": .string(id.rawValue), "Warning": .string(warning)], status: .created)
    }

    /// Refuses a name that a network of this host's engine has, and returns a warning when that cannot be told. The swarm's names
    /// are the manager's to judge: an engine that hangs on one host of many does not keep the swarm from its networks, and
    /// containers that would meet two of a name here are refused with a sentence.
    private func refuseEnginesName(_ name: String, for request: APIRequest) async throws -> String {
        guard let engine else { return "" }
        do {
            let others = try await engine.engine.limited(to: engine.patience).networks()
                .filter { $0.shadowOf == nil && !NetworkSpec.predefinedNames.contains($0.Name) }
            try checkFree(name, among: others.flatMap { [$0.Name, $0.Id] })
        } catch let error as EngineError {
            guard noteIfSilent(error, at: request) else { return "" }
            return "\(error), so it is not known whether it has a network \(name) of its own"
        }
        return ""
    }

    /// A name is one of all networks', and differs from the others by more than case, which names in DNS do not (RFC 4343). Nor is it
    /// another network's id.
    private func checkFree(_ name: String, among taken: [String]) throws(APIError) {
        guard let other = taken.first(where: { $0.lowercased() == name.lowercased() }) else { return }
        guard other != name else { throw .networkExists(name) }
        throw APIError(409, APIError.networkExists(other).message + ": names that differ by case only are one name in DNS")
    }

    func networkRemove(_ request: APIRequest) async throws -> APIResponse {
        let name = request.path[1]
        let directory = try await networks(for: [name])
        switch try directory.meaning(of: name) {
        case .engine(let id, let known)?: return try await ask(request, onNetwork: id, named: known)
        case .swarm(let network)?:
            _ = try await managerState()
            try await removeOnceTasksEnded(network.id)
            await collectShadows(keeping: directory.swarm.filter { $0.id != network.id })
        case nil: throw APIError.networkNotFound(name)
        }
        return .noContent
    }

    /// `docker stack rm` removes networks right after their services, and does not come back. So a network whose tasks are about to
    /// end is removed when they have; at the latest after two minutes it is said what it still waits for.
    private func removeOnceTasksEnded(_ id: NetworkID) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while true {
            do {
                return try await backend.networkRemove(id)
            } catch let error as any KindedError where error.errorKind == .ending && ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    /// Removes at once what stood for networks that are gone; whatever stands in the way, the next round takes it up.
    /// `known`: networks that are there, though the backend may not have heard of them.
    private func collectShadows(keeping known: [Network]) async {
        guard let engine, let present = try? await backend.clusterNetworks() else { return }
        let networks = known + present
        try? await limited(to: engine.patience, cancels: false, late: EngineError.silent(path: engine.client.socketPath)) {
            try await engine.shadows.collect(keeping: networks)
        }
    }

    /// Removes the networks that nothing uses. Off a manager there is nothing that it could remove.
    func networkPrune(_ request: APIRequest) async throws -> APIResponse {
        let filters = try Filters(request, allowed: ["label", "label!", "until"])
        let until = try filters["until"].map { try instant(until: $0) }.min()
        let (snapshot, shapes) = try await networkView()
        var removed: [String] = []
        if backend.swarmStanding().isManager {
            for network in snapshot.networks.sorted(by: { $0.spec.name < $1.spec.name }) {
                let isMeant =
                    !network.spec.ingress && !shapes.isUsed(network)
                    && filters.matchesAll("label") { hasLabel(network.spec.labels, $0) }
                    && filters.matchesAll("label!") { !hasLabel(network.spec.labels, $0) }
                    && until.map { network.createdAt < $0 } ?? true
                guard isMeant else { continue }
                do {
                    try await backend.networkRemove(network.id)
                    removed.append(network.spec.name)
                } catch  where [400, 404, 409].contains(APIError(of: error).status) {
                    // Taken into use, or removed by somebody else, since the snapshot.
                    continue
                }
            }
        }
        if !removed.isEmpty {
            await collectShadows(keeping: snapshot.networks.filter { !removed.contains($0.spec.name) })
        }
        if let answer = try await pruneEngine(request) {
            guard let json = answer.json else { return APIResponse(answer) }
            if case .array(let names)? = json["NetworksDeleted"] {
                removed += names.compactMap { if case .string(let name) = $0 { name } else { nil } }
            }
            // A Docker swarm holds on to its own.
            if let engine, let index = removed.firstIndex(of: Engine.gatewayBridge), backend.swarmStanding().membership == .active {
                try await engine.engine.ensureGatewayBridge()
                removed.remove(at: index)
            }
        }
        return .json(["NetworksDeleted": removed.isEmpty ? .null : .strings(removed)])
    }

    /// The engine's part, without the networks that stand for the swarm's.
    private func pruneEngine(_ request: APIRequest) async throws -> EngineResponse? {
        var filters: JSON = [:]
        if let text = request.query["filters"] { filters = (try? JSON(parsing: Array(text.utf8))) ?? [:] }
        let flag: (key: String, value: JSON) = (ShadowNetworks.label, true)
        switch filters["label!"] {
        case .array(let labels)?: filters.set("label!", .array(labels + [.string(ShadowNetworks.label)]))
        case .object(let labels)?: filters.set("label!", .object(labels + [flag]))
        default:
            // The engine reads either shape, but not both in one text.
            let hasLists = if case .object(let members) = filters { members.contains { $0.value.isArray } } else { false }
            filters.set("label!", hasLists ? [.string(ShadowNetworks.label)] : .object([flag]))
        }
        let query = "filters=" + String(decoding: filters.utf8, as: UTF8.self).percentEncoded
        guard let engine else { return nil }
        do {
            // One that answers at all may take its time to prune; one that does not must not keep the swarm's answer.
            _ = try await engine.engine.limited(to: engine.patience).apiVersion()
            return try await ask(engine, request, uri: enginePath(request, request.path, query: query))
        } catch EngineError.absent {
            return nil
        } catch let error as EngineError {
            guard noteIfSilent(error, at: request) else { throw error }
            return nil
        }
    }

    /// Attaches a sandbox, or has the engine attach a container.
    func networkConnect(_ request: APIRequest) async throws -> APIResponse {
        let fields = try request.fields()
        if engine != nil, try await !namesSandbox(fields) {
            return try await forContainer(request) { try await $0.connect(request, to: $1) }
        }
        let sandbox = try await sandbox(ofContainer: fields)
        let network = try await swarmNetwork(request.path[1])
        let config = try fields.fields("EndpointConfig")
        for key in ["Links", "DriverOpts", "MacAddress"] {
            guard let value = config?.json[key], value != .array([]), value != .object([]), value != "" else {
                continue
            }
            throw APIError.unavailable("EndpointConfig.\(key) is not available for sandboxes; leave it out")
        }
        let ipam = try config?.fields("IPAMConfig")
        let attachment = try attachment(to: network, addresses: ipam, aliases: try config?.strings("Aliases") ?? [])
        try await sandboxes.sandboxConnect(sandbox.id, attachment)
        return .ok
    }

    func networkDisconnect(_ request: APIRequest) async throws -> APIResponse {
        if engine != nil, try await !namesSandbox(try request.fields()) {
            return try await forContainer(request) { try await $0.disconnect(request, from: $1) }
        }
        let sandbox = try await sandbox(ofContainer: try request.fields())
        let network = try await swarmNetwork(request.path[1])
        try await sandboxes.sandboxDisconnect(sandbox.id, network: network.id)
        return .ok
    }

    /// What concerns a container and a network: the flavour's when the network is the swarm's, else the engine's own.
    private func forContainer(
        _ request: APIRequest, _ body: (any EngineFlavour, Network) async throws -> APIResponse
    ) async throws -> APIResponse {
        let name = request.path[1]
        switch try await networks(for: [name]).meaning(of: name) {
        case .swarm(let network)?: return try await body(try await flavour(), network)
        case .engine(let id, let known)?: return try await ask(request, onNetwork: id, named: known)
        case nil: throw APIError.networkNotFound(name)
        }
    }

    /// The network of the swarm that is meant where only one of those can be.
    func swarmNetwork(_ name: String) async throws -> Network {
        try await networks(for: [name], onlySwarm: true).network(name)
    }

    /// The request is about a sandbox of Weft's, not about a container.
    private func namesSandbox(_ fields: Fields) async throws -> Bool {
        guard let name = try fields.text("Container") else { return false }
        do { return try await sandbox(name).id.rawValue.isEmpty == false } catch let error as APIError
            where error.status == 404
        { return false }
    }

    private func sandbox(ofContainer fields: Fields) async throws -> SandboxSummary {
        guard let name = try fields.text("Container") else {
            throw APIError.badRequest("Container is missing; name a sandbox")
        }
        do { return try await sandbox(name) } catch let error as APIError where error.status == 404 {
            throw APIError.noEngine
        }
    }

    private func networkView(withServices: Bool = false) async throws -> (ClusterSnapshot, NetworkShapes) {
        let snapshot = try await backend.clusterSnapshot()
        let standing = backend.swarmStanding()
        let services = withServices && standing.isManager ? try await backend.objects(Service.self) : []
        return (snapshot, NetworkShapes(snapshot: snapshot, local: standing.nodeID, services: services))
    }

    /// Checks what a request says about one attachment against the network.
    ///
    /// - Parameter addresses: where `IPv4Address` and `IPv6Address` are looked for.
    func attachment(to network: Network, addresses: Fields?, aliases: [String]) throws(APIError) -> EndpointSpec {
        guard network.spec.attachable else { throw .notAttachable(network.spec.name) }
        let ipv4 = try addresses?.ipv4Address("IPv4Address")
        let ipv6 = try addresses?.ipv6Address("IPv6Address")
        if let ipv4 { try check(.v4(ipv4), in: network) }
        if let ipv6 { try check(.v6(ipv6), in: network) }
        for alias in aliases { try checkName(alias, what: "alias") }
        guard aliases.reduce(0, { $0 + $1.utf8.count }) <= Bounds.aliasesBytes else {
            throw .badRequest("the aliases of one attachment may take up to \(Bounds.aliasesBytes) bytes, and these take more")
        }
        return EndpointSpec(network: network.id, ipv4: ipv4, ipv6: ipv6, aliases: aliases)
    }

    private func check(_ address: IPAddress, in network: Network) throws(APIError) {
        let name = network.spec.name
        guard let subnet = network.subnet(address.family) else {
            throw .badRequest("network \(name) has no IPv6; leave out --ip6, or use a network that was made with --ipv6")
        }
        guard subnet.hosts.contains(address) else {
            throw .badRequest("\(address) is no host address of network \(name); choose one in \(subnet)")
        }
        guard address != network.gateway(address.family) else {
            throw .badRequest("\(address) is the gateway of network \(name); choose another address")
        }
    }
}

/// Checks a name that DNS shall answer.
func checkName(_ name: String, what: String) throws(APIError) {
    guard Bounds.isName(name) else {
        throw .badRequest(
            "invalid \(what) \"\(name)\": it must be 1 to 63 characters of [a-zA-Z0-9_.-] and begin with a letter or digit"
        )
    }
}

/// Go's `strconv.ParseBool`.
private func truth(_ text: String) -> Bool? {
    switch text {
    case "1", "t", "T", "true", "TRUE", "True": true
    case "0", "f", "F", "false", "FALSE", "False": false
    default: nil
    }
}

/// Reads `until`: a duration back from now (`1h30m`), seconds since 1970, or RFC 3339.
private func instant(until text: String) throws(APIError) -> Instant {
    if let duration = goDuration(text) {
        let now = Instant(nanoseconds: Int64(Date().timeIntervalSince1970 * 1e9))
        return Instant(nanoseconds: now.nanoseconds - duration)
    }
    let seconds = Double(text) ?? (try? Date(text, strategy: .iso8601))?.timeIntervalSince1970
    guard let seconds, let nanoseconds = Int64(exactly: (seconds * 1e9).rounded()) else {
        throw .badRequest(
            "invalid filter 'until=\(text)'; give a duration such as 24h, or a time as 2026-01-31T12:00:00Z")
    }
    return Instant(nanoseconds: nanoseconds)
}

/// A duration as Go writes it, in nanoseconds; nil when it is none or beyond 290 years.
func goDuration(_ text: String) -> Int64? {
    let units: [String: Double] = ["ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9]
    var rest = Substring(text)
    var total = 0.0
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
        let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        rest = rest.dropFirst(number.count)
        let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
        rest = rest.dropFirst(unit.count)
        guard let value = Double(number), let scale = units[String(unit)] else { return nil }
        total += value * scale
    }
    return Int64(exactly: total.rounded())
}
