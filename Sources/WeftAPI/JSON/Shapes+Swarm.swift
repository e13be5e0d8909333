import WeftModel
import WeftNet

/// What `/swarm` shows of settings that Weft has no use for: Docker's defaults, and the only values it takes.
enum FixedSettings {
    static let taskHistoryRetentionLimit: Int64 = 5
    static let raft: [(key: String, value: Int64)] = [
        ("SnapshotInterval", 10000), ("KeepOldSnapshots", 0), ("LogEntriesForSlowFollowers", 500), ("ElectionTick", 10),
        ("HeartbeatTick", 1),
    ]
}

private func versionJSON(_ version: Version) -> JSON { ["Index": .integer(version.index)] }

private func trustJSON(_ trust: TrustInformation?) -> JSON {
    guard let trust else { return [:] }
    return [
        "TrustRoot": .string(trust.rootsPEM), "CertIssuerSubject": .string(base64(trust.issuerSubject)),
        "CertIssuerPublicKey": .string(base64(trust.issuerPublicKey)),
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
            "Orchestration": ["TaskHistoryRetentionLimit": .integer(FixedSettings.taskHistoryRetentionLimit)],
            "Raft": .object(FixedSettings.raft.map { ($0.key, .integer($0.value)) }),
            "Dispatcher": ["HeartbeatPeriod": .integer(spec.heartbeatSeconds * 1_000_000_000)],
            "CAConfig": ["NodeCertExpiry": .integer(spec.certificateLifetimeSeconds * 1_000_000_000)],
            "TaskDefaults": [:], "EncryptionConfig": ["AutoLockManagers": false],
        ],
        "TLSInfo": trustJSON(state.trust), "RootRotationInProgress": false,
        "DefaultAddrPool": .strings(spec.addressPools.map(\.description)),
        "SubnetSize": .integer(Int64(spec.subnetLength)), "DataPathPort": .integer(Int64(spec.dataPathPort)),
    ]
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

func nodeJSON(_ node: Node, state: SwarmState) -> JSON {
    var json: JSON = [
        "ID": .string(node.id.rawValue), "Version": versionJSON(node.version),
        "CreatedAt": .string(node.createdAt.rfc3339), "UpdatedAt": .string(node.updatedAt.rfc3339),
        "Spec": [
            "Labels": .map(node.spec.labels), "Role": .string(node.spec.role.rawValue),
            "Availability": .string(node.spec.availability.rawValue),
        ],
        "Description": descriptionJSON(node.description, trust: state.trust),
        "Status": ["State": .string(node.state.rawValue), "Addr": .string(node.address?.description ?? "")],
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

private func descriptionJSON(_ description: NodeDescription?, trust: TrustInformation?) -> JSON {
    guard let description else {
        return ["Hostname": "", "Platform": [:], "Resources": [:], "Engine": [:], "TLSInfo": trustJSON(trust)]
    }
    return [
        "Hostname": .string(description.hostname),
        "Platform": ["Architecture": .string(description.architecture), "OS": "linux"],
        "Resources": [
            "NanoCPUs": .integer(description.nanoCPUs), "MemoryBytes": .integer(description.memoryBytes),
        ],
        "Engine": [
            "EngineVersion": .string(
                description.engineVersion.isEmpty ? description.weftVersion : description.engineVersion),
            "Plugins": [["Type": "Network", "Name": "overlay"]],
        ],
        "TLSInfo": trustJSON(trust),
    ]
}
