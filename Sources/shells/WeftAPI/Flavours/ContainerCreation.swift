import WeftModel
import WeftNet
import WeftText

/// A request for a container, as far as its networks go: what Weft does itself, and what is left for the engine.
struct ContainerCreation {
    private var json: JSON
    private var host: JSON
    private let name: String
    private let upstreams: [IPv4Address]
    private(set) var networks: [Network] = []
    private var attachments: [InterfaceSpec] = []
    private var ports: [WantedPort]

    init(_ fields: Fields, name: String, known: NetworkDirectory, router: Router) throws(APIError) {
        json = fields.json
        host = fields.json["HostConfig"] ?? [:]
        self.name = name
        let mode = try fields.fields("HostConfig")?.text("NetworkMode") ?? ""
        let endpoints = try fields.fields("NetworkingConfig")?.fields("EndpointsConfig")
        var others: [String] = []
        var wanted: [(Network, Fields?)] = []
        for name in try Router.networkNames(in: fields) {
            guard case .swarm(let network)? = try known.meaning(of: name) else {
                others.append(name)
                continue
            }
            let settings = try endpoints?.fields(name)
            if let index = wanted.firstIndex(where: { $0.0.id == network.id }) {
                // Under its name and its id.
                if settings != nil { wanted[index].1 = settings }
            } else {
                wanted.append((network, settings))
            }
        }
        networks = wanted.map(\.0)
        guard !networks.isEmpty else {
            (upstreams, ports) = ([], [])
            return
        }
        if let other = others.first ?? (["host", "none", "bridge"].contains(mode) ? mode : nil) {
            throw .badRequest(
                "a container of podman cannot be on network \(networks[0].spec.name) of the swarm and on \(other) of podman: name "
                    + "networks of the swarm only")
        }
        let hostFields = try Fields(host, path: "HostConfig")
        for key in ["Links"] where try !hostFields.array(key).isEmpty {
            throw .badRequest("HostConfig.\(key) is not available on networks of the swarm: names resolve without it")
        }
        upstreams = try hostFields.strings("Dns").map { text throws(APIError) in
            try ipv4Address(text, named: "HostConfig.Dns")
        }.filter { $0.description != Router.resolver }
        ports = try WantedPort.list(hostFields)
        let mac = try fields.text("MacAddress")
        for (index, (network, settings)) in wanted.enumerated() {
            attachments.append(
                try Self.attachment(
                    to: network, interface: "eth\(index)", settings: settings, mac: index == 0 ? mac : nil, router: router))
        }
    }

    /// What the settings of one endpoint ask for; what cannot be done is refused.
    static func attachment(
        to network: Network, interface: String, settings: Fields?, mac: String? = nil, router: Router
    ) throws(APIError) -> InterfaceSpec {
        let ipam = try settings?.fields("IPAMConfig")
        for (owner, key) in [(settings, "Links"), (ipam, "LinkLocalIPs")] {
            if try owner?.array(key).isEmpty == false {
                throw .badRequest("\(key) is not available on networks of the swarm; leave it out")
            }
        }
        if try settings?.map("DriverOpts").isEmpty == false {
            throw .badRequest("network \(network.spec.name) takes no options for an endpoint; leave out --driver-opt")
        }
        if let priority = try settings?.integer("GwPriority"), priority != 0 {
            throw .badRequest(
                "GwPriority is not available: the first network that is not internal leads outside; leave it out")
        }
        var wanted = try router.attachment(
            to: network, addresses: ipam, aliases: try settings?.strings("Aliases") ?? [])
        if let text = try settings?.text("MacAddress") ?? mac {
            guard let parsed = MACAddress(text), !parsed.isMulticast, parsed.rawValue != 0 else {
                throw .badRequest("\"\(text)\" is no MAC address of a single interface, as 02:42:0a:00:00:05 is")
            }
            wanted.mac = parsed
        }
        return InterfaceSpec(wanted, interface: interface)
    }

    var image: String { if case .string(let image)? = json["Image"] { image } else { "" } }

    /// `-P`.
    var publishesExposed: Bool { host["PublishAllPorts"] == .bool(true) }

    /// Publishes what the request and the image expose, on any port.
    mutating func publish(exposed: [String]) {
        var all = exposed
        if case .object(let members)? = json["ExposedPorts"] { all += members.map(\.key) }
        for text in all {
            guard let (port, kind) = WantedPort.parse(text) else { continue }
            guard !ports.contains(where: { $0.containerPort == port && $0.protocol == kind }) else { continue }
            ports.append(WantedPort(protocol: kind, containerPort: port))
        }
    }

    func container(token: String) throws(APIError) -> PreparedContainer {
        guard name.isEmpty || Endpoint.isName(name) else {
            throw .badRequest("the container's name \(name) is no name for DNS (\(Endpoint.nameRule))")
        }
        let hostname: String? = if case .string(let text)? = json["Hostname"], !text.isEmpty { text } else { nil }
        if let port = ports.first, networks.allSatisfy(\.spec.isInternal) {
            throw .badRequest(
                "port \(port.containerPort)/\(port.protocol.rawValue) cannot be published: network \(networks[0].spec.name) is "
                    + "internal; add one that is not, or leave out -p")
        }
        let policy = host["RestartPolicy"]?["Name"]
        return PreparedContainer(
            token: token, name: name, hostname: hostname, attachments: attachments, ports: ports, upstreams: upstreams,
            restarts: policy != nil && policy != "" && policy != "no")
    }

    /// What the engine is asked for: a container in that namespace, with names asked of weftd.
    func body(namespacePath path: String) -> JSON {
        var host = host
        host.set("NetworkMode", .string("ns:\(path)"))
        host.set("PortBindings", [:])
        host.set("PublishAllPorts", false)
        host.set("Dns", [.string(Router.resolver)])
        var options: [JSON] = if case .array(let given)? = host["DnsOptions"] { given } else { [] }
        let hasNdots = options.contains { if case .string(let text) = $0 { text.hasPrefix("ndots:") } else { false } }
        if !hasNdots { options.append(.string(Constants.namesAsTheyAre)) }
        host.set("DnsOptions", .array(options))
        var json = json
        json.set("HostConfig", host)
        json.set("NetworkingConfig", .null)
        json.set("MacAddress", "")
        return json
    }
}

extension WantedPort {
    /// `PortBindings` of a request.
    static func list(_ host: Fields) throws(APIError) -> [WantedPort] {
        guard let bindings = try host.fields("PortBindings"), case .object(let members) = bindings.json else { return [] }
        var ports: [WantedPort] = []
        for (text, _) in members {
            guard let (port, kind) = parse(text) else {
                throw .badRequest("PortBindings: \"\(text)\" is no port and protocol, as 80/tcp is")
            }
            let wishes = try bindings.objects(text)
            // Docker takes an empty list for no wish.
            for wish in wishes {
                var address = try wish.ipv4Address("HostIp")
                if address?.isUnspecified == true { address = nil }
                ports.append(
                    WantedPort(
                        protocol: kind, containerPort: port, hostAddress: address,
                        hostPorts: try hostPorts(try wish.text("HostPort") ?? "")))
            }
        }
        return ports
    }

    /// `80/tcp`; `80` is TCP's.
    static func parse(_ text: String) -> (UInt16, PortProtocol)? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, let port = UInt16(first), port > 0, parts.count <= 2 else { return nil }
        guard let kind = PortProtocol(rawValue: parts.count == 2 ? parts[1].lowercased() : "tcp") else { return nil }
        return (port, kind)
    }

    /// `8080` or `8000-8010`; nil for any.
    private static func hostPorts(_ text: String) throws(APIError) -> ClosedRange<UInt16>? {
        if text.isEmpty || text == "0" { return nil }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard parts.count <= 2, let first = parts[0], let last = parts.count == 2 ? parts[1] : first, 0 < first, first <= last
        else { throw .badRequest("\"\(text)\" is no port of the host: give one, or a range as 8000-8010") }
        return first...last
    }
}
