import WeftModel
import WeftNet
import WeftText

/// Puts what weftd knows of prepared containers into what the engine says of them.
struct ContainerShapes {
    private let containers: [String: ContainerStatus]
    private let networks: [NetworkID: Network]

    init(containers: [ContainerStatus], networks: [Network]) {
        self.containers = Dictionary(
            containers.compactMap { status in status.container.container.map { ($0.rawValue, status) } }
        ) { first, _ in first }
        self.networks = Dictionary(networks.map { ($0.id, $0) }) { first, _ in first }
    }

    private func status(of json: JSON) -> ContainerStatus? {
        guard case .string(let id)? = json["Id"] else { return nil }
        return containers[id]
    }

    /// `GET /containers/{id}/json`; nil for a container that is not Weft's.
    func inspected(_ json: JSON) -> JSON? {
        guard let status = status(of: json) else { return nil }
        var json = json
        var host = json["HostConfig"] ?? [:]
        host.set("NetworkMode", .string(mode(of: status)))
        host.set("PortBindings", Self.bindings(status.container.ports))
        host.set("Dns", .strings(status.container.upstreams.map(\.description)))
        if case .array(let options)? = host["DnsOptions"] {
            host.set("DnsOptions", .array(options.filter { $0 != .string(Constants.namesAsTheyAre) }))
        }
        json.set("HostConfig", host)
        var settings = json["NetworkSettings"] ?? [:]
        settings.set("SandboxID", .string(status.container.token))
        settings.set("SandboxKey", .string(status.namespacePath))
        settings.set("Ports", Self.published(status.container))
        settings.set("Networks", attached(status))
        json.set("NetworkSettings", settings)
        return json
    }

    /// One of `GET /containers/json`.
    func listed(_ json: JSON) -> JSON {
        guard let status = status(of: json) else { return json }
        var json = json
        json.set("HostConfig", ["NetworkMode": .string(mode(of: status))])
        json.set("NetworkSettings", ["Networks": attached(status)])
        json.set(
            "Ports",
            .array(
                status.container.published.map { port in
                    [
                        "IP": .string(Self.address(port.wanted)), "PrivatePort": .integer(Int64(port.wanted.containerPort)),
                        "PublicPort": .integer(Int64(port.hostPort)), "Type": .string(port.wanted.protocol.rawValue),
                    ]
                }))
        return json
    }

    /// A container of the list is on one of these networks, by name or by the beginning of an id.
    static func isOn(_ wanted: [String], _ json: JSON) -> Bool {
        guard case .object(let members)? = json["NetworkSettings"]?["Networks"] else { return false }
        return members.contains { name, settings in
            wanted.contains { text in
                if text == name { return true }
                guard case .string(let id)? = settings["NetworkID"], !text.isEmpty else { return false }
                return id.hasPrefix(text)
            }
        }
    }

    private func name(of network: NetworkID) -> String { networks[network]?.spec.name ?? network.rawValue }

    private func mode(of status: ContainerStatus) -> String {
        status.container.attachments.first.map { name(of: $0.endpoint.network) } ?? "none"
    }

    private func attached(_ status: ContainerStatus) -> JSON {
        .object(status.container.attachments.map { (name(of: $0.endpoint.network), settings($0.endpoint, status)) })
    }

    private func settings(_ attachment: EndpointSpec, _ status: ContainerStatus) -> JSON {
        let endpoint = status.endpoints[attachment.network]
        let network = networks[attachment.network]
        let short = status.container.container.map { [String($0.rawValue.prefix(12))] } ?? []
        let hasWayOut = endpoint != nil && network?.spec.isInternal == false
        let asked = [
            ("IPv4Address", attachment.ipv4?.description), ("IPv6Address", attachment.ipv6?.description),
        ].compactMap { key, address in address.map { (key: key, value: JSON.string($0)) } }
        return [
            "IPAMConfig": asked.isEmpty ? .null : .object(asked),
            "Links": .null, "Aliases": .strings(attachment.aliases + short),
            "MacAddress": .string(endpoint?.mac.description ?? attachment.mac?.description ?? ""), "DriverOpts": .null,
            "GwPriority": 0, "NetworkID": .string(attachment.network.rawValue),
            "EndpointID": .string(endpoint?.id.rawValue ?? ""),
            "Gateway": .string(hasWayOut ? network?.gateway.description ?? "" : ""),
            "IPAddress": .string(endpoint?.ipv4.description ?? ""),
            "IPPrefixLen": .integer(endpoint == nil ? 0 : Int64(network?.subnet.length ?? 0)), "IPv6Gateway": "",
            "GlobalIPv6Address": .string(endpoint?.ipv6?.description ?? ""),
            "GlobalIPv6PrefixLen": .integer(endpoint?.ipv6 == nil ? 0 : Int64(network?.subnet6?.length ?? 0)),
            "DNSNames": .strings([status.container.name] + status.container.aliases(on: attachment)),
        ]
    }

    // MARK: Ports

    private static func address(_ wanted: WantedPort) -> String { wanted.hostAddress?.description ?? "0.0.0.0" }

    /// As the user asked for them.
    private static func bindings(_ ports: [WantedPort]) -> JSON {
        grouped(
            ports.map { wanted in
                let range = wanted.hostPorts
                let text = range.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" } ?? ""
                return (wanted, ["HostIp": .string(wanted.hostAddress?.description ?? ""), "HostPort": .string(text)])
            })
    }

    /// As they are.
    private static func published(_ container: PreparedContainer) -> JSON {
        grouped(
            container.published.map { port in
                (port.wanted, ["HostIp": .string(address(port.wanted)), "HostPort": .string("\(port.hostPort)")])
            })
    }

    private static func grouped(_ ports: [(WantedPort, JSON)]) -> JSON {
        let byName = Dictionary(grouping: ports) { "\($0.0.containerPort)/\($0.0.protocol.rawValue)" }
        return .object(byName.sorted { $0.key < $1.key }.map { ($0.key, .array($0.value.map(\.1))) })
    }
}
