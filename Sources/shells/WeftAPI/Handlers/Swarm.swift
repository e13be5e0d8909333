import WeftModel
import WeftNet
import WeftText

extension Router {
    func swarmInspect(_ request: APIRequest) async throws -> APIResponse {
        let (state, cluster) = try await managerState()
        return .json(swarmJSON(cluster, state: state))
    }

    func swarmInit(_ request: APIRequest) async throws -> APIResponse {
        guard try await backend.swarmState().membership == .inactive else { throw APIError.alreadyInSwarm }
        let id = try await backend.swarmInit(try SwarmInitRequest(try request.fields()))
        return .json(.string(id.rawValue))
    }

    func swarmJoin(_ request: APIRequest) async throws -> APIResponse {
        guard try await backend.swarmState().membership == .inactive else { throw APIError.alreadyInSwarm }
        try await backend.swarmJoin(try SwarmJoinRequest(try request.fields()))
        return .ok
    }

    func swarmLeave(_ request: APIRequest) async throws -> APIResponse {
        guard try await backend.swarmState().membership != .inactive else { throw APIError.notInSwarm }
        try await backend.swarmLeave(force: request.query.flag("force"))
        return .ok
    }

    func swarmUpdate(_ request: APIRequest) async throws -> APIResponse {
        let (_, cluster) = try await managerState()
        let version = try version(of: request, what: "swarm")
        var rotate = SwarmRotation()
        if request.query.flag("rotateWorkerToken") { rotate.tokens.insert(.worker) }
        if request.query.flag("rotateManagerToken") { rotate.tokens.insert(.manager) }
        rotate.unlockKey = request.query.flag("rotateManagerUnlockKey")
        rotate.keys = request.query.flag("rotateDataPathKeys")
        let fields = try request.fields()
        var spec = cluster.spec
        try spec.replace(by: fields)
        rotate.signingCA = try SigningCA(fields.fields("CAConfig"))
        try await backend.swarmUpdate(version: version, spec: spec, rotate: rotate)
        return .ok
    }

    /// How far every node has come with the keys of the data path.
    func swarmKeys(_ request: APIRequest) async throws -> APIResponse {
        let (_, cluster) = try await managerState()
        return .json(
            keysJSON(
                cluster, nodes: try await backend.nodes(), networks: try await backend.clusterNetworks(),
                statements: try await backend.objects(SignedStatement.self), readinesses: try await backend.objects(KeyReadiness.self)))
    }

    func swarmUnlockKey(_ request: APIRequest) async throws -> APIResponse {
        let (_, cluster) = try await managerState()
        return .json(["UnlockKey": .string(cluster.unlockKey?.exposed ?? "")])
    }

    func swarmUnlock(_ request: APIRequest) async throws -> APIResponse {
        let key = Secret(try request.fields().string("UnlockKey") ?? "")
        let state = try await backend.swarmState()
        guard state.membership != .inactive else { throw APIError.notAManagerOutsideSwarm }
        guard state.membership == .locked else {
            throw state.isManager ? APIError.notLocked : APIError.notAManagerOnWorker
        }
        try await backend.swarmUnlock(key)
        return .ok
    }
}

extension SwarmInitRequest {
    /// Reads the body of `POST /swarm/init`. Whether a swarm can have such pools, sizes and ports is the machine's to judge.
    init(_ fields: Fields) throws(APIError) {
        self.init()
        let listen = try hostAndPort(fields, "ListenAddr")
        let advertise = try hostAndPort(fields, "AdvertiseAddr", fallback: listen.port)
        (listenAddress, listenPort) = (listen.address, listen.port)
        (advertiseAddress, advertisePort) = (advertise.address, advertise.port)
        dataPathAddress = try dataPath(fields)
        availability = try nodeAvailability(fields) ?? .active
        if try fields.bool("ForceNewCluster") {
            throw .unavailable(
                "ForceNewCluster is not available in this version of Weft; leave out --force-new-cluster")
        }
        // A swarm of a version that did not encrypt by itself says nothing of it, and stays as it is.
        spec.defaultEncryption = true
        if let sent = try fields.fields("Spec") {
            try spec.take(sent)
            signingCA = try SigningCA(sent.fields("CAConfig"))
        }
        if try fields.bool("AutoLockManagers") { spec.locksManagers = true }
        let pools = try fields.strings("DefaultAddrPool")
        if !pools.isEmpty { spec.addressPools = try Self.pools(pools) }
        if let length = try fields.integer("SubnetSize"), length != 0 {
            spec.subnetLength = Int(clamping: length)
        }
        if let port = try fields.integer("DataPathPort"), port != 0 {
            guard let number = UInt16(exactly: port) else { throw .badRequest("DataPathPort is \(port), which is no port") }
            spec.dataPathPort = number
        }
    }

    private static func pools(_ texts: [String]) throws(APIError) -> [IPv4Prefix] {
        var pools: [IPv4Prefix] = []
        for text in texts {
            guard let pool = IPv4Prefix(text) else {
                throw .badRequest("DefaultAddrPool holds \"\(text)\"; give IPv4 subnets such as 10.20.0.0/16")
            }
            pools.append(pool)
        }
        return pools
    }
}

extension SwarmJoinRequest {
    init(_ fields: Fields) throws(APIError) {
        guard let token = try fields.text("JoinToken") else {
            throw .badRequest("JoinToken is missing; `docker swarm join-token worker` on a manager prints it")
        }
        var remotes: [Remote] = []
        for text in try fields.strings("RemoteAddrs") {
            let (host, port) = try splitPort(text, named: "RemoteAddrs", fallback: 2377)
            remotes.append(Remote(host: host, port: port))
        }
        guard !remotes.isEmpty else { throw .badRequest("at least one RemoteAddr is required to join") }
        self.init(remotes: remotes, token: Secret(token))
        let listen = try hostAndPort(fields, "ListenAddr")
        let advertise = try hostAndPort(fields, "AdvertiseAddr", fallback: listen.port)
        (listenAddress, listenPort) = (listen.address, listen.port)
        (advertiseAddress, advertisePort) = (advertise.address, advertise.port)
        dataPathAddress = try dataPath(fields)
        availability = try nodeAvailability(fields) ?? .active
    }
}

// MARK: Addresses of the host

/// Splits `host:port`; the port may be left out.
func splitPort(_ text: String, named name: String, fallback: UInt16) throws(APIError) -> (host: String, port: UInt16) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2 else {
        throw .badRequest("\(name) is \(text), an address of IPv6: hosts reach each other by IPv4 in this version; give an IPv4 address")
    }
    guard let host = parts.first, !host.isEmpty else {
        throw .badRequest("\(name) is \"\(text)\"; give an address, or address:port")
    }
    guard parts.count == 2 else { return (String(host), fallback) }
    guard let port = UInt16(parts[1]), port > 0 else {
        throw .badRequest("\(name) is \"\(text)\": the port must be 1 to 65535")
    }
    return (String(host), port)
}

/// Reads `address`, `interface`, `address:port` or `interface:port`; every address (0.0.0.0) is nil.
private func hostAndPort(
    _ fields: Fields, _ key: String, fallback: UInt16 = 2377
) throws(APIError) -> (address: HostAddress?, port: UInt16) {
    guard let text = try fields.text(key) else { return (nil, fallback) }
    let (host, port) = try splitPort(text, named: key, fallback: fallback)
    return (try hostAddress(host, named: key), port)
}

private func hostAddress(_ host: String, named name: String) throws(APIError) -> HostAddress? {
    if let address = IPv4Address(host) { return address.isUnspecified ? nil : .address(address) }
    guard host.utf8.count <= 15, !host.utf8.allSatisfy({ (48...57).contains($0) || $0 == UInt8(ascii: ".") }),
        host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") })
    else { throw .badRequest("\(name) is \"\(host)\", which is neither an IPv4 address nor an interface's name") }
    return .interface(host)
}

private func dataPath(_ fields: Fields) throws(APIError) -> HostAddress? {
    guard let text = try fields.text("DataPathAddr") else { return nil }
    guard !text.contains(":") else {
        throw .badRequest("DataPathAddr is \"\(text)\"; give an IPv4 address or an interface's name, without a port")
    }
    return try hostAddress(text, named: "DataPathAddr")
}

/// Reads `Availability`; nil when it is not given.
func nodeAvailability(_ fields: Fields) throws(APIError) -> NodeAvailability? {
    guard let text = try fields.text("Availability") else { return nil }
    guard let availability = NodeAvailability(rawValue: text.lowercased()) else {
        throw .badRequest("invalid Availability: \"\(text)\"; give active, pause or drain")
    }
    return availability
}
