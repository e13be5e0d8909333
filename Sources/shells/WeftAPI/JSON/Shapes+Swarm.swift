import WeftModel
import WeftNet
import WeftText

private func trustJSON(_ trust: TrustInformation?) -> JSON {
    guard let trust else { return [:] }
    return [
        "TrustRoot": .string(trust.rootsPEM), "CertIssuerSubject": .string(Base64.encoded(trust.issuer.subject)),
        "CertIssuerPublicKey": .string(Base64.encoded(trust.issuer.publicKey)),
    ]
}

/// The swarm without its tokens, as in `/info`.
func clusterJSON(_ cluster: Cluster, state: SwarmState) -> JSON {
    let spec = cluster.spec
    return [
        "ID": .string(cluster.id.rawValue), "Version": versionJSON(cluster.version),
        "CreatedAt": .string(cluster.createdAt.rfc3339), "UpdatedAt": .string(cluster.updatedAt.rfc3339),
        "Spec": [
            "Name": .string(spec.name), "Labels": .map(spec.labels),
            "Orchestration": [
                "TaskHistoryRetentionLimit": .integer(
                    spec.taskHistoryRetentionLimit ?? ClusterSpec.defaultTaskHistoryRetentionLimit)
            ],
            "Raft": raftJSON(spec.raft ?? RaftSettings()),
            "Dispatcher": nonZero("HeartbeatPeriod", spec.heartbeatSeconds * 1_000_000_000),
            "CAConfig": authorityJSON(spec), "TaskDefaults": [:],
            "EncryptionConfig": encryptionJSON(spec),
        ],
        "TLSInfo": trustJSON(state.trust), "RootRotationInProgress": .bool(cluster.rootRotation != nil),
        "DefaultAddrPool": .strings(spec.addressPools.map(\.description)),
        "SubnetSize": .integer(Int64(spec.subnetLength)), "DataPathPort": .integer(Int64(spec.dataPathPort)),
    ]
}

/// An object with the one member, or without it: Go leaves zeros out.
private func nonZero(_ key: String, _ value: Int64) -> JSON { value == 0 ? [:] : [key: .integer(value)] }

private func raftJSON(_ raft: RaftSettings) -> JSON {
    var json = nonZero("SnapshotInterval", Int64(clamping: raft.snapshotInterval))
    json.append("KeepOldSnapshots", .integer(Int64(clamping: raft.keepOldSnapshots)))
    if raft.logEntriesForSlowFollowers != 0 {
        json.append("LogEntriesForSlowFollowers", .integer(Int64(clamping: raft.logEntriesForSlowFollowers)))
    }
    json.append("ElectionTick", .integer(raft.electionTick))
    json.append("HeartbeatTick", .integer(raft.heartbeatTick))
    return json
}

/// Docker's member, and beside it what was said of the data path.
private func encryptionJSON(_ spec: ClusterSpec) -> JSON {
    var json: JSON = ["AutoLockManagers": .bool(spec.locksManagers ?? false)]
    if let isDefault = spec.defaultEncryption { json.append("DefaultEncryption", .bool(isDefault)) }
    if let seconds = spec.keyRotationSeconds { json.append("KeyRotation", .integer(seconds * 1_000_000_000)) }
    return json
}

private func authorityJSON(_ spec: ClusterSpec) -> JSON {
    var json = nonZero("NodeCertExpiry", spec.certificateLifetimeSeconds * 1_000_000_000)
    if let generation = spec.rootGeneration, generation != 0 {
        json.append("ForceRotate", .integer(Int64(clamping: generation)))
    }
    return json
}

/// The swarm with its tokens, as `GET /swarm` answers it.
func swarmJSON(_ cluster: Cluster, state: SwarmState) -> JSON {
    var swarm = clusterJSON(cluster, state: state)
    if let tokens = state.joinTokens {
        swarm.append(
            "JoinTokens",
            ["Worker": .string(tokens.worker.exposed), "Manager": .string(tokens.manager.exposed)])
    }
    return swarm
}

/// What a node does not reach as it should, while it is there to say so.
func pathProblems(of node: Node, _ names: (NodeID) -> String) -> [String] {
    let conditions = node.state == .ready ? node.description?.pathConditions ?? [] : []
    return conditions.map { "to \(names($0.peer)): \($0.sentence)" }
}

/// What nodes are called by who reads of them.
func nodeNames(_ nodes: [Node]) -> (NodeID) -> String {
    let names = Dictionary(nodes.compactMap { node in node.description.map { (node.id, $0.hostname) } }) { first, _ in first }
    return { names[$0] ?? $0.rawValue }
}

/// Docker leaves an empty message out.
private func nodeStatusJSON(_ node: Node, _ names: (NodeID) -> String) -> JSON {
    var status: JSON = ["State": .string(node.state.rawValue)]
    let problems = [node.problem].compactMap(\.self) + pathProblems(of: node, names)
    if !problems.isEmpty { status.append("Message", .string(problems.joined(separator: "; "))) }
    status.append("Addr", .string(node.address?.description ?? ""))
    return status
}

/// - Parameter names: what other nodes are called.
func nodeJSON(_ node: Node, state: SwarmState, names: (NodeID) -> String) -> JSON {
    var json: JSON = [
        "ID": .string(node.id.rawValue), "Version": versionJSON(node.version),
        "CreatedAt": .string(node.createdAt.rfc3339), "UpdatedAt": .string(node.updatedAt.rfc3339),
        "Spec": [
            "Labels": .map(node.spec.labels), "Role": .string(node.spec.role.rawValue),
            "Availability": .string(node.spec.availability.rawValue),
        ],
        "Description": descriptionJSON(node.description),
        "Status": nodeStatusJSON(node, names),
    ]
    if let address = node.managerAddress {
        var manager: JSON = [:]
        if state.leader == node.id { manager.append("Leader", true) }
        manager.append("Reachability", node.state == .ready ? "reachable" : "unreachable")
        manager.append("Addr", .string(address))
        json.append("ManagerStatus", manager)
    }
    return json
}

private func descriptionJSON(_ description: NodeDescription?) -> JSON {
    guard let description else {
        return ["Hostname": "", "Platform": [:], "Resources": [:], "Engine": [:], "TLSInfo": [:]]
    }
    var engine = Members()
    engine.add("EngineVersion", .string(description.engineVersion.isEmpty ? description.weftVersion : description.engineVersion))
    engine.add("Labels", ifSaid: description.engineLabels ?? [:])
    engine.add("Plugins", [["Type": "Network", "Name": "overlay"]])
    return [
        "Hostname": .string(description.hostname),
        "Platform": ["Architecture": .string(description.architecture), "OS": "linux"],
        "Resources": [
            "NanoCPUs": .integer(description.nanoCPUs), "MemoryBytes": .integer(description.memoryBytes),
        ],
        "Engine": engine.json,
        "TLSInfo": trustJSON(description.trust),
    ]
}
