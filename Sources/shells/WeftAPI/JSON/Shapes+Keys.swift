import WeftModel
import WeftText

/// The epoch of the data path's keys, and each node's: as `GET /weft/v1/swarm/keys` answers it.
func keysJSON(
    _ cluster: Cluster, nodes: [Node], networks: [Network], statements: [SignedStatement], readinesses: [KeyReadiness]
) -> JSON {
    let ready = Dictionary(readinesses.map { ($0.id, $0.readiness.statement.epoch) }, uniquingKeysWith: max)
    let stated = Dictionary(statements.map { ($0.node, $0.statement.epoch) }, uniquingKeysWith: max)
    return [
        "Epoch": .integer(Int64(clamping: cluster.keyEpoch)), "Since": .string(cluster.keyTerm.since.rfc3339),
        "RotationSeconds": .integer(cluster.spec.keyRotation.components.seconds),
        "RotationPending": .bool(cluster.keyTerm.isNextWanted),
        "EncryptedNetworks": .integer(Int64(networks.count { $0.spec.isEncrypted })),
        "Nodes": .array(
            nodes.sorted { $0.id < $1.id }.map { node in
                [
                    "ID": .string(node.id.rawValue), "Hostname": .string(node.description?.hostname ?? ""),
                    "State": .string(node.state.rawValue), "StatedEpoch": .integer(Int64(clamping: stated[node.id] ?? 0)),
                    "ReadyEpoch": .integer(Int64(clamping: ready[node.id] ?? 0)),
                ]
            }),
    ]
}
