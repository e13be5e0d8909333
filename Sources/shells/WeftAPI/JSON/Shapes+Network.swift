import WeftModel
import WeftNet
import WeftText

/// Shapes networks from what this node knows.
struct NetworkShapes {
    private let local: NodeID?
    private let nodes: [NodeID: Peer]
    private let endpoints: [NetworkID: [Endpoint]]
    private let services: [ServiceID: Service]

    /// - Parameter services: for what is shown of them, as far as they are known.
    init(snapshot: ClusterSnapshot, local: NodeID?, services: [Service] = []) {
        self.local = local
        self.services = Dictionary(services.map { ($0.id, $0) }) { first, _ in first }
        nodes = Dictionary(snapshot.peers.map { ($0.id, $0) }) { first, _ in first }
        endpoints = Dictionary(grouping: snapshot.endpoints, by: \.network)
            .mapValues { $0.sorted { ($0.name, $0.id) < ($1.name, $1.id) } }
    }

    func isUsed(_ network: Network) -> Bool { endpoints[network.id] != nil }

    /// As in `GET /networks`, where the endpoints are left out, or as in `GET /networks/{id}`.
    func json(_ network: Network, detailed: Bool, verbose: Bool = false) -> JSON {
        let spec = network.spec
        let all = endpoints[network.id] ?? []
        let own = all.filter { $0.node == local }
        var options = spec.options
        options["com.docker.network.driver.overlay.vxlanid_list"] = network.vni.description
        var json: JSON = [
            "Name": .string(spec.name), "Id": .string(network.id.rawValue),
            "Created": .string(network.createdAt.rfc3339), "Scope": "swarm", "Driver": "overlay", "EnableIPv4": true,
            "EnableIPv6": .bool(spec.ipv6),
            "IPAM": ["Driver": "default", "Options": .null, "Config": .array(network.subnets.map { ipam(network, $0.family) })],
            "Internal": .bool(spec.isInternal), "Attachable": .bool(spec.attachable), "Ingress": .bool(spec.ingress),
            "ConfigFrom": ["Network": ""], "ConfigOnly": false,
            "Containers": own.isEmpty ? .null : containers(detailed ? own : [], on: network),
            "Options": .map(options), "Labels": spec.labels.isEmpty && own.isEmpty ? .null : .map(spec.labels),
        ]
        // Weft's own word: what is in force, whoever asked for it.
        if spec.isEncrypted { json.append("Encrypted", true) }
        if !all.isEmpty { json.append("Peers", peers(all)) }
        if verbose, !all.isEmpty { json.append("Services", servicesJSON(all, on: network)) }
        return json
    }

    /// A network that each node's engine has of its own and whose name services may give: to the swarm, by that name and no other id.
    /// The docker command asks the swarm for every network that it names in a service.
    static func json(enginesOwn name: String) -> JSON {
        [
            "Name": .string(name), "Id": .string(name), "Created": "0001-01-01T00:00:00Z", "Scope": "swarm", "Driver": .string(name),
            "EnableIPv4": true, "EnableIPv6": false, "IPAM": ["Driver": "default", "Options": .null, "Config": .null],
            "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": ["Network": ""], "ConfigOnly": false,
            "Containers": .null, "Options": .null, "Labels": ["com.docker.swarm.predefined": "true"],
        ]
    }

    private func ipam(_ network: Network, _ family: IPAddress.Family) -> JSON {
        let asked = family == .v4 ? network.spec.ipam.erased : network.spec.ipam6?.erased
        var config: JSON = ["Subnet": .string(network.subnet(family)?.description ?? "")]
        if let range = asked?.range { config.append("IPRange", .string(range.description)) }
        config.append("Gateway", .string(network.gateway(family)?.description ?? ""))
        let auxiliary = asked?.auxiliaryAddresses ?? [:]
        if !auxiliary.isEmpty { config.append("AuxiliaryAddresses", .map(auxiliary.mapValues(\.description))) }
        return config
    }

    /// This node's endpoints, by sandbox.
    private func containers(_ own: [Endpoint], on network: Network) -> JSON {
        func text(_ address: IPAddress?) -> JSON {
            guard let address, let subnet = network.subnet(address.family) else { return "" }
            return .string("\(address)/\(subnet.length)")
        }
        return .object(
            own.map { endpoint in
                (
                    endpoint.sandbox.rawValue,
                    [
                        "Name": .string(endpoint.name), "EndpointID": .string(endpoint.id.rawValue),
                        "MacAddress": .string(endpoint.mac.description),
                        "IPv4Address": text(.v4(endpoint.ipv4)), "IPv6Address": text(endpoint.ipv6.map(IPAddress.v6)),
                    ]
                )
            })
    }

    /// The nodes that have an endpoint on the network.
    private func peers(_ all: [Endpoint]) -> JSON {
        .array(
            Set(all.map(\.node)).sorted().map { id in
                let hostname = nodes[id]?.hostname ?? ""
                return [
                    "Name": .string(hostname.isEmpty ? String(id.rawValue.prefix(12)) : hostname),
                    "IP": .string(dataPathAddress(of: id)),
                ]
            })
    }

    /// By their names. Sandboxes and containers that no service made stand under a service without one.
    private func servicesJSON(_ all: [Endpoint], on network: Network) -> JSON {
        let groups = Dictionary(grouping: all) { $0.task?.service }
        return .object(
            groups.map { id, endpoints in
                // Where services are not known, their tasks' names tell theirs: `web.2.<task's id>`.
                let parts = id == nil ? [] : endpoints[0].name.split(separator: ".").dropLast(2)
                let service = id.flatMap { services[$0] }
                return (service?.spec.name ?? parts.joined(separator: "."), serviceJSON(service, endpoints, on: network))
            }.sorted { $0.0 < $1.0 })
    }

    private func serviceJSON(_ service: Service?, _ endpoints: [Endpoint], on network: Network) -> JSON {
        let address = service?.addresses.first { $0.network == network.id }
        let ports = service?.ports.filter { $0.mode == .ingress } ?? []
        return [
            "VIP": .string(address?.ipv4.description ?? "<nil>"),
            "Ports": .array(ports.map { .string("Target: \($0.target), Publish: \($0.published)") }), "LocalLBIndex": 0,
            "Tasks": .array(
                endpoints.map {
                    [
                        "Name": .string($0.name), "EndpointID": .string($0.id.rawValue), "EndpointIP": .string($0.ipv4.description),
                        "Info": ["Host IP": .string(dataPathAddress(of: $0.node))],
                    ]
                }),
        ]
    }

    private func dataPathAddress(of node: NodeID) -> String { nodes[node]?.dataPathAddress?.description ?? "" }
}
