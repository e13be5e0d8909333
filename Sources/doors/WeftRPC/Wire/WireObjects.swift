internal import FoundationEssentials
internal import WeftModel
internal import WeftNet

extension Weft_V1_NodeDescription {
    init(_ value: NodeDescription) {
        self.init()
        hostname = value.hostname
        architecture = value.architecture
        nanoCpus = value.nanoCPUs
        memoryBytes = value.memoryBytes
        weftVersion = value.weftVersion
        engineVersion = value.engineVersion
        engineLabels = value.engineLabels ?? [:]
        routes = value.routes.map(Weft_V1_Prefix.init)
        if let value = value.underlayMTU { underlayMtu = UInt32(value.bytes) }
        if let value = value.trust {
            trust.rootCertificatesPem = value.rootsPEM
            trust.issuerSubject = Data(value.issuer.subject)
            trust.issuerPublicKey = Data(value.issuer.publicKey)
        }
        returnsAddresses = value.returnsAddresses ?? false
        pathConditions = (value.pathConditions ?? []).map {
            var condition = Weft_V1_PathCondition()
            condition.peer = $0.peer.rawValue
            condition.fault = $0.fault.rawValue
            condition.port = UInt32($0.port)
            condition.length = UInt32($0.length)
            return condition
        }
    }
}

extension NodeDescription {
    init(wire: Weft_V1_NodeDescription, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        self.init(
            hostname: Wire.shown(wire.hostname), architecture: Wire.shown(wire.architecture),
            nanoCPUs: try Wire.count(wire.nanoCpus, "\(field).nano_cpus"),
            memoryBytes: try Wire.count(wire.memoryBytes, "\(field).memory_bytes"),
            weftVersion: Wire.shown(wire.weftVersion))
        engineVersion = Wire.shown(wire.engineVersion)
        engineLabels = wire.engineLabels.isEmpty ? nil : wire.engineLabels
        routes = Wire.list(wire.routes, "\(field).routes", &skipped) { prefix, field throws(WireError) in
            try Wire.prefix(prefix, field)
        }
        // One that is none is as one that is not told.
        underlayMTU = wire.hasUnderlayMtu ? MTU(Int(wire.underlayMtu)) : nil
        if wire.hasTrust {
            trust = TrustInformation(
                rootsPEM: wire.trust.rootCertificatesPem,
                issuer: CertificateIssuer(
                    subject: Array(wire.trust.issuerSubject), publicKey: Array(wire.trust.issuerPublicKey)))
        }
        returnsAddresses = wire.returnsAddresses ? true : nil
        // What a later version may say beside these is not understood here.
        let conditions = wire.pathConditions.prefix(PathCondition.told).compactMap { condition -> PathCondition? in
            guard let fault = PathFault(rawValue: condition.fault) else { return nil }
            return PathCondition(
                peer: NodeID(Wire.shown(condition.peer)), fault: fault, port: UInt16(clamping: condition.port),
                length: UInt16(clamping: condition.length))
        }
        pathConditions = conditions.isEmpty ? nil : conditions
    }
}

extension Weft_V1_Endpoint {
    init(_ value: Endpoint) {
        self.init()
        id = value.id.rawValue
        version = value.version.index
        network = value.network.rawValue
        node = value.node.rawValue
        sandbox = value.sandbox.rawValue
        ipv4 = value.ipv4.rawValue
        if let address = value.ipv6 { ipv6 = Data(address.octets) }
        mac = value.mac.rawValue
        name = value.name
        // An engine has no bound for them. One endpoint's must not fill what all of a node's have to fit in.
        var size = 0
        aliases = Array(
            value.aliases.prefix {
                size += $0.utf8.count
                return size <= Bounds.aliasesBytes
            })
        if let serving = value.task { task = Weft_V1_ServingTask(serving) }
    }
}

extension Weft_V1_ServingTask {
    init(_ value: ServingTask) {
        self.init()
        service = value.service.rawValue
        task = value.task.rawValue
        slot = value.slot
        rotation =
            switch value.rotation {
            case .waiting: .waiting
            case .serving: .serving
            case .draining: .draining
            }
    }
}

extension ServingTask {
    init(wire: Weft_V1_ServingTask, _ field: String) throws(WireError) {
        let rotation: Rotation
        switch wire.rotation {
        case .waiting: rotation = .waiting
        case .serving: rotation = .serving
        case .draining: rotation = .draining
        case .unspecified, .UNRECOGNIZED:
            throw WireError(field: "\(field).rotation", problem: "\(wire.rotation.rawValue) is none that this version knows")
        }
        self.init(
            service: try Wire.identifier(wire.service, "\(field).service"), task: try Wire.identifier(wire.task, "\(field).task"),
            slot: wire.slot, rotation: rotation)
    }
}

extension Weft_V1_NodeMessage.TaskReport {
    init(_ value: TaskReport) {
        self.init()
        task = value.task.rawValue
        status = Weft_V1_Document(value.status)
    }
}

extension TaskReport {
    init(wire: Weft_V1_NodeMessage.TaskReport, _ field: String) throws(WireError) {
        self.init(task: try Wire.identifier(wire.task, "\(field).task"), status: try wire.status.read("\(field).status"))
        status.message = Wire.shown(status.message)
        status.problem = status.problem.map { Wire.shown($0, max: 4096) }
        status.container = status.container.map { Wire.shown($0) }
    }
}

extension Endpoint {
    init(wire: Weft_V1_Endpoint, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        self.init(
            id: try Wire.identifier(wire.id, "\(field).id"),
            version: try Wire.version(wire.version, "\(field).version"),
            network: try Wire.identifier(wire.network, "\(field).network"),
            node: try Wire.identifier(wire.node, "\(field).node"),
            sandbox: try Wire.identifier(wire.sandbox, "\(field).sandbox"), ipv4: IPv4Address(rawValue: wire.ipv4),
            ipv6: wire.hasIpv6 ? try Wire.ipv6(wire.ipv6, "\(field).ipv6") : nil,
            mac: try Wire.mac(wire.mac, "\(field).mac"), name: try Wire.name(wire.name, "\(field).name"))
        aliases = Wire.list(wire.aliases, "\(field).aliases", &skipped) { alias, field throws(WireError) in
            try Wire.name(alias, field)
        }
        if wire.hasTask { task = try ServingTask(wire: wire.task, "\(field).task") }
    }
}

extension Weft_V1_NetworkSpec {
    init(_ value: NetworkSpec) {
        self.init()
        name = value.name
        labels = value.labels
        attachable = value.attachable
        encryptedByDefault = value.encryptedByDefault ?? false
        `internal` = value.isInternal
        ingress = value.ingress
        options = value.options
        var config = Weft_V1_IPAMConfig()
        if let subnet = value.ipam.subnet { config.subnet = Weft_V1_Prefix(subnet) }
        if let range = value.ipam.range { config.range = Weft_V1_Prefix(range) }
        if let gateway = value.ipam.gateway { config.gateway = gateway.rawValue }
        config.auxiliaryAddresses = value.ipam.auxiliaryAddresses.mapValues(\.rawValue)
        ipam = config
        if let config = value.ipam6 { ipam6 = Weft_V1_IPAM6Config(config) }
    }
}

extension Weft_V1_IPAM6Config {
    init(_ value: IPAMConfig<IPv6Address>) {
        self.init()
        if let prefix = value.subnet { subnet = Weft_V1_Prefix(prefix) }
        if let prefix = value.range { range = Weft_V1_Prefix(prefix) }
        if let address = value.gateway { gateway = Data(address.octets) }
        auxiliaryAddresses = value.auxiliaryAddresses.mapValues { Data($0.octets) }
    }
}

extension IPAMConfig<IPv6Address> {
    init(wire: Weft_V1_IPAM6Config, _ field: String) throws(WireError) {
        self.init()
        if wire.hasSubnet { subnet = try Wire.prefix6(wire.subnet, "\(field).subnet") }
        if wire.hasRange { range = try Wire.prefix6(wire.range, "\(field).range") }
        if wire.hasGateway { gateway = try Wire.ipv6(wire.gateway, "\(field).gateway") }
        for (name, octets) in wire.auxiliaryAddresses {
            auxiliaryAddresses[name] = try Wire.ipv6(octets, "\(field).auxiliary_addresses")
        }
    }
}

extension NetworkSpec {
    init(wire: Weft_V1_NetworkSpec, _ field: String) throws(WireError) {
        self.init(name: try Wire.name(wire.name, "\(field).name"))
        labels = wire.labels
        attachable = wire.attachable
        encryptedByDefault = wire.encryptedByDefault ? true : nil
        isInternal = wire.internal
        ingress = wire.ingress
        options = wire.options
        let config = wire.ipam
        if config.hasSubnet { ipam.subnet = try Wire.prefix(config.subnet, "\(field).ipam.subnet") }
        if config.hasRange { ipam.range = try Wire.prefix(config.range, "\(field).ipam.range") }
        if config.hasGateway { ipam.gateway = IPv4Address(rawValue: config.gateway) }
        ipam.auxiliaryAddresses = config.auxiliaryAddresses.mapValues(IPv4Address.init(rawValue:))
        if wire.hasIpam6 { ipam6 = try IPAMConfig(wire: wire.ipam6, "\(field).ipam6") }
    }
}

extension Weft_V1_Network {
    init(_ value: Network) {
        self.init()
        id = value.id.rawValue
        version = value.version.index
        createdAt = value.createdAt.nanoseconds
        updatedAt = value.updatedAt.nanoseconds
        spec = Weft_V1_NetworkSpec(value.spec)
        vni = value.vni.rawValue
        subnet = Weft_V1_Prefix(value.subnet)
        gateway = value.gateway.rawValue
        if let prefix = value.subnet6 { subnet6 = Weft_V1_Prefix(prefix) }
        if let address = value.gateway6 { gateway6 = Data(address.octets) }
    }
}

extension Network {
    init(wire: Weft_V1_Network, _ field: String) throws(WireError) {
        self.init(
            id: try Wire.identifier(wire.id, "\(field).id"),
            version: try Wire.version(wire.version, "\(field).version"),
            createdAt: Instant(nanoseconds: wire.createdAt),
            spec: try NetworkSpec(wire: Wire.require(wire.hasSpec, wire.spec, "\(field).spec"), "\(field).spec"),
            vni: try Wire.vni(wire.vni, "\(field).vni"),
            subnet: try Wire.prefix(Wire.require(wire.hasSubnet, wire.subnet, "\(field).subnet"), "\(field).subnet"),
            gateway: IPv4Address(rawValue: wire.gateway),
            subnet6: wire.hasSubnet6 ? try Wire.prefix6(wire.subnet6, "\(field).subnet6") : nil,
            gateway6: wire.hasGateway6 ? try Wire.ipv6(wire.gateway6, "\(field).gateway6") : nil)
        updatedAt = Instant(nanoseconds: wire.updatedAt)
    }
}

extension Weft_V1_Peer {
    init(_ value: Peer) {
        self.init()
        id = value.id.rawValue
        hostname = value.hostname
        state =
            switch value.state {
            case .unknown: .unknown
            case .down: .down
            case .ready: .ready
            case .disconnected: .disconnected
            }
        if let address = value.dataPathAddress { dataPathAddress = address.rawValue }
        if let address = value.managerAddress { managerAddress = address }
        if let mtu = value.underlayMTU { underlayMtu = UInt32(mtu.bytes) }
    }
}

extension Peer {
    init(wire: Weft_V1_Peer, _ field: String) throws(WireError) {
        let state: NodeState
        switch wire.state {
        case .unspecified: throw WireError(field: "\(field).state", problem: "missing")
        case .down: state = .down
        case .ready: state = .ready
        case .disconnected: state = .disconnected
        // A newer manager may know states that this node does not.
        case .unknown, .UNRECOGNIZED: state = .unknown
        }
        self.init(
            id: try Wire.identifier(wire.id, "\(field).id"),
            hostname: Wire.shown(wire.hostname), state: state,
            dataPathAddress: wire.hasDataPathAddress ? IPv4Address(rawValue: wire.dataPathAddress) : nil,
            managerAddress: wire.hasManagerAddress ? wire.managerAddress : nil,
            underlayMTU: wire.hasUnderlayMtu ? MTU(Int(wire.underlayMtu)) : nil)
    }
}

extension Weft_V1_ClusterView {
    init(_ value: ClusterView) {
        self.init()
        id = value.id.rawValue
        dataPathPort = UInt32(value.dataPathPort)
        heartbeatSeconds = value.heartbeatSeconds
        rootCertificatesPem = value.rootCertificatesPEM
        keyEpoch = value.keyEpoch
    }
}

extension ClusterView {
    init(wire: Weft_V1_ClusterView, _ field: String) throws(WireError) {
        guard let port = UInt16(exactly: wire.dataPathPort), port > 0 else {
            throw WireError(field: "\(field).data_path_port", problem: "\(wire.dataPathPort) is not a port")
        }
        guard (1...86_400).contains(wire.heartbeatSeconds) else {
            throw WireError(
                field: "\(field).heartbeat_seconds", problem: "\(wire.heartbeatSeconds) is outside 1...86400")
        }
        self.init(
            id: try Wire.identifier(wire.id, "\(field).id"), dataPathPort: port,
            heartbeatSeconds: wire.heartbeatSeconds,
            rootCertificatesPEM: wire.rootCertificatesPem, keyEpoch: max(1, wire.keyEpoch))
    }
}

extension Weft_V1_AddressLease {
    init(_ value: AddressLease) {
        self.init()
        network = value.network.rawValue
        block = Weft_V1_Prefix(value.block)
        node = value.node.rawValue
        version = value.version.index
    }
}

extension AddressLease {
    static func ipv4(wire: Weft_V1_AddressLease, _ field: String) throws(WireError) -> AddressLease {
        try AddressLease(wire: wire, block: .v4(Wire.prefix(block(wire, field), "\(field).block")), field)
    }

    static func ipv6(wire: Weft_V1_AddressLease, _ field: String) throws(WireError) -> AddressLease {
        try AddressLease(wire: wire, block: .v6(Wire.prefix6(block(wire, field), "\(field).block")), field)
    }

    private static func block(_ wire: Weft_V1_AddressLease, _ field: String) throws(WireError) -> Weft_V1_Prefix {
        try Wire.require(wire.hasBlock, wire.block, "\(field).block")
    }

    private init(wire: Weft_V1_AddressLease, block: AnyIPPrefix, _ field: String) throws(WireError) {
        self.init(
            network: try Wire.identifier(wire.network, "\(field).network"), block: block,
            node: try Wire.identifier(wire.node, "\(field).node"),
            version: try Wire.version(wire.version, "\(field).version"))
    }
}
