import WeftModel
import WeftNet
import WeftText

func sandboxJSON(_ sandbox: SandboxSummary) -> JSON {
    [
        "Id": .string(sandbox.id.rawValue), "Name": .string(sandbox.name), "Command": .strings(sandbox.command),
        "CreatedAt": .string(sandbox.createdAt.rfc3339), "State": .string(sandbox.state.rawValue),
        "ExitCode": .integer(Int64(sandbox.exitCode)), "Pid": .integer(Int64(sandbox.pid)),
        "Networks": .object(sandbox.endpoints.map { ($0.networkName, endpointJSON($0)) }),
        "Hostname": .string(sandbox.hostname), "Socket": .string(sandbox.socket),
        "Directory": .string(sandbox.directory), "StartedAt": .string(sandbox.startedAt?.rfc3339 ?? zeroTime),
        "FinishedAt": .string(sandbox.finishedAt?.rfc3339 ?? zeroTime),
    ]
}

private func endpointJSON(_ summary: EndpointSummary) -> JSON {
    let endpoint = summary.endpoint
    return [
        "IPAddress": .string(endpoint.ipv4.description), "MacAddress": .string(endpoint.mac.description),
        "EndpointID": .string(endpoint.id.rawValue), "NetworkID": .string(endpoint.network.rawValue),
        "Gateway": .string(summary.gateway?.description ?? ""), "IPPrefixLen": .integer(Int64(summary.prefixLength)),
        "GlobalIPv6Address": .string(endpoint.ipv6?.description ?? ""),
        "GlobalIPv6PrefixLen": .integer(Int64(summary.prefixLength6 ?? 0)), "Aliases": .strings(endpoint.aliases),
    ]
}

func statusJSON(_ status: NodeStatus) -> JSON {
    [
        "NodeID": .string(status.nodeID?.rawValue ?? ""), "Problem": .string(status.problem),
        "Session": [
            "Connected": .bool(status.session?.isConnected ?? false), "Manager": .string(status.session?.manager ?? ""),
            "AppliedRevision": .integer(status.session?.appliedRevision.index ?? 0),
            "Problem": .string(status.session?.problem ?? ""),
        ],
        "Endpoints": .array(
            status.endpoints.sorted { ($0.name, $0.id) < ($1.name, $1.id) }.map {
                [
                    "EndpointID": .string($0.id.rawValue), "Name": .string($0.name), "Network": .string($0.network),
                    "IPAddress": .string($0.ipv4.description),
                    "GlobalIPv6Address": .string($0.ipv6?.description ?? ""), "Interface": .string($0.interface),
                    "SentPackets": .counter($0.sentPackets), "SentBytes": .counter($0.sentBytes),
                    "ReceivedPackets": .counter($0.receivedPackets), "ReceivedBytes": .counter($0.receivedBytes),
                    "Drops": .counters($0.drops), "Problem": .string($0.problem),
                ]
            }),
        "Underlay": status.underlay.map {
            [
                "Interface": .string($0.interface), "Address": .string($0.address.description),
                "MTU": .integer(Int64($0.mtu.bytes)), "Port": .integer(Int64($0.port)),
                "Attachment": .string($0.attachment),
                "Translation": .string($0.socketsProblem.isEmpty ? "socket" : "interface"),
                "TranslationProblem": .string($0.socketsProblem), "PortProblems": .strings($0.portProblems),
                "Drops": .counters($0.drops),
            ]
        } ?? .null,
        "Encryption": status.encryption.map(encryptionJSON) ?? .null,
        "Peers": .array(
            status.peers.sorted { ($0.hostname, $0.id) < ($1.hostname, $1.id) }.map {
                [
                    "NodeID": .string($0.id.rawValue), "Hostname": .string($0.hostname),
                    "State": .string($0.state.rawValue),
                    "Address": .string($0.dataPathAddress?.description ?? ""),
                ]
            }),
    ]
}

private func encryptionJSON(_ standing: KeyStanding) -> JSON {
    [
        "Needed": .bool(standing.isNeeded), "Engine": .string(standing.isNeeded ? "user space" : ""),
        "Process": .integer(Int64(standing.process ?? 0)), "Epoch": .counter(standing.epoch),
        "StatedEpoch": .counter(standing.stated ?? 0), "Problem": .string(standing.problem), "Counts": .counters(standing.counts),
        "Pairs": .array(
            standing.pairs.map {
                [
                    "NodeID": .string($0.node.rawValue), "Epoch": .counter($0.epoch ?? 0), "Heard": .bool($0.isHeard),
                    "Ready": .bool($0.isReady),
                    "RoundTripMicroseconds": .integer($0.roundTrip.map { Int64($0 / .microseconds(1)) } ?? 0),
                    "Problem": .string($0.problem),
                ]
            }),
    ]
}
