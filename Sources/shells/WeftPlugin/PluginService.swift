// dockerd's side door: NetworkDriver and IpamDriver calls in, reservations and attaches out. Answers from this node alone, so that an
// engine never waits for the cluster. The engine repeats what it got no answer for: each call may come twice.
import FoundationEssentials
package import Logging
import WeftJSON
package import WeftModel
import WeftNet
import WeftThreads

/// The engine's NetworkDriver and IpamDriver: one method call, one answer.
///
/// Answers come from this node alone, so that an engine never waits for the cluster; the engine repeats a call whose
/// answer it did not get, so every call may come twice. It lives on a thread of its own: its state is on disk before it counts.
package actor PluginService {
    /// The longest and the shortest prefix of a route to the resolver.
    private static let resolverLengths = 17...32

    private let thread = BlockingExecutor()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let backend: any PluginBackend
    private let store: any PluginStore
    private let logger: Logger
    private var state: PluginState
    private var journal: CallJournal
    private var callsUnderWay = 0

    package init(backend: any PluginBackend, store: any PluginStore, journal: CallJournal, logger: Logger) throws {
        self.backend = backend
        self.store = store
        self.journal = journal
        self.logger = logger
        state = try store.loadPlugin()
    }

    /// The endpoints that are in a container, each with the path of the container's namespace.
    package var joined: [EndpointID: String] {
        var joined: [EndpointID: String] = [:]
        for (id, endpoint) in state.endpoints { joined[EndpointID(id)] = endpoint.sandbox }
        return joined
    }

    /// Forgets everything, as this node left its swarm.
    package func forget() { state = PluginState() }

    /// Notes a call, whose end is to be told; nil: there is nothing of it to note. The entry's contents are the call's, though it came
    /// without them.
    package func begin(method: String, body: [UInt8]) -> CallJournal.Entry? {
        do {
            let entry = try journal.begin(method, body)
            if body.isEmpty, let entry {
                logger.info("a call that was cut off goes on", metadata: ["method": "\(method)", "call": "\(entry.id)"])
            }
            return entry
        } catch {
            // It is answered all the same; only a kill before the answer is worse then.
            logger.warning("a call of the engine's is not on record", metadata: ["method": "\(method)", "error": "\(error)"])
            return nil
        }
    }

    /// The engine has the call's answer.
    package func end(_ call: CallJournal.Entry) {
        do { try journal.end(call) } catch {
            logger.warning("a call's record is left", metadata: ["method": "\(call.method)", "error": "\(error)"])
        }
    }

    /// Returns once no call is under way, or after `limit`.
    func settle(limit: Duration) async {
        let end = ContinuousClock.now + limit
        while callsUnderWay > 0, ContinuousClock.now < end { try? await Task.sleep(for: .milliseconds(5)) }
    }

    /// The answer's body; nil for a method that the drivers do not have.
    package func answer(method: String, body: [UInt8]) async -> [UInt8]? {
        callsUnderWay += 1
        defer { callsUnderWay -= 1 }
        do {
            guard let answer = try await respond(method, Data(body)) else { return nil }
            logger.debug("plugin call", metadata: ["method": "\(method)"])
            return try Self.encode(answer)
        } catch {
            logger.warning("a call of the engine's failed", metadata: ["method": "\(method)", "error": "\(error)"])
            let sentence =
                if error is DecodingError || error is JSONText.TooDeep {
                    body.isEmpty
                        ? "the container engine's call was cut off as weftd ended, and came again without its contents; try again"
                        : "\(method): the request is not what the plugin protocol says"
                } else {
                    "\(error)"
                }
            return try? Self.encode(Response.Failure(sentence))
        }
    }

    private static func encode(_ value: any Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(value))
    }

    private func respond(_ method: String, _ body: Data) async throws -> (any Encodable & Sendable)? {
        func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
            try JSONText.decode(type, from: body)
        }
        switch method {
        case "Plugin.Activate": return Response.Activation()
        case "NetworkDriver.GetCapabilities": return Response.NetworkCapabilities()
        case "IpamDriver.GetCapabilities": return Response.AddressCapabilities()
        case "IpamDriver.GetDefaultAddressSpaces": return Response.AddressSpaces()
        case "IpamDriver.RequestPool": return try await requestPool(decode(Request.Pool.self))
        case "IpamDriver.RequestAddress": return try await requestAddress(decode(Request.Address.self))
        case "IpamDriver.ReleaseAddress":
            let request = try decode(Request.Address.self)
            if let address = request.Address.flatMap({ IPAddress($0) }) {
                await backend.release(Self.subnet(ofPool: request.PoolID).network, address)
            }
            return Response.Empty()
        case "NetworkDriver.CreateNetwork":
            try await createNetwork(decode(Request.Network.self))
            return Response.Empty()
        case "NetworkDriver.DeleteNetwork":
            let request = try decode(Request.Network.self)
            try change { $0.networks[request.NetworkID] = nil }
            return Response.Empty()
        case "NetworkDriver.CreateEndpoint": return try await createEndpoint(decode(Request.Endpoint.self))
        case "NetworkDriver.DeleteEndpoint":
            let request = try decode(Request.Endpoint.self)
            await backend.detach(EndpointID(request.EndpointID))
            try change { $0.endpoints[request.EndpointID] = nil }
            return Response.Empty()
        case "NetworkDriver.Join": return try await join(decode(Request.Endpoint.self))
        case "NetworkDriver.EndpointOperInfo": return try await information(decode(Request.Endpoint.self))
        // The interface comes back with Leave, and goes with DeleteEndpoint; ports are the engine's own bridge's.
        case "IpamDriver.ReleasePool", "NetworkDriver.Leave", "NetworkDriver.ProgramExternalConnectivity",
            "NetworkDriver.RevokeExternalConnectivity", "NetworkDriver.DiscoverNew", "NetworkDriver.DiscoverDelete":
            return Response.Empty()
        default: return nil
        }
    }

    /// Changes the state, on disk before it counts.
    private func change(_ body: (inout PluginState) -> Void) throws {
        var changed = state
        body(&changed)
        guard changed != state else { return }
        try store.savePlugin(changed)
        state = changed
    }

    // MARK: Addresses

    /// A pool is one family's subnet of a network; IPv4's bears the network's id alone.
    private static let poolSuffix = "/IPv6"

    private static func poolID(_ subnet: SubnetID) -> String {
        subnet.network.rawValue + (subnet.family == .v6 ? poolSuffix : "")
    }

    private static func subnet(ofPool id: String) -> SubnetID {
        id.hasSuffix(poolSuffix)
            ? SubnetID(NetworkID(String(id.dropLast(poolSuffix.count))), .v6) : SubnetID(NetworkID(id), .v4)
    }

    private func requestPool(_ request: Request.Pool) async throws -> Response.Pool {
        guard case .text(let reference)? = request.Options?[Constants.networkOption] else {
            throw PluginError(
                "which network of the swarm? Give its id with --ipam-opt weft.id=ID and -o weft.id=ID (`weft network ls` "
                    + "lists them; Weft's own socket does all that by itself)")
        }
        try refuseOthers(request.Options, "--ipam-opt")
        let network = try await backend.network(reference, isNew: true)
        let name = network.spec.name
        let family: IPAddress.Family = request.V6 == true ? .v6 : .v4
        guard let subnet = network.subnet(family) else {
            throw PluginError("network \(name) has no \(family): leave out --ipv6 and IPv6 subnets")
        }
        if let pool = request.Pool, !pool.isEmpty, AnyIPPrefix(pool) != subnet {
            throw PluginError("the subnet of network \(name) is \(subnet), not \(pool): leave out --subnet")
        }
        if let range = request.SubPool, !range.isEmpty, AnyIPPrefix(range) != network.range(family) ?? subnet {
            throw PluginError("--ip-range is given where the network is made (`weft network create`), not for one host's part of it")
        }
        return Response.Pool(PoolID: Self.poolID(SubnetID(network.id, family)), Pool: "\(subnet)")
    }

    private func requestAddress(_ request: Request.Address) async throws -> Response.Address {
        let pool = Self.subnet(ofPool: request.PoolID)
        let network = try await backend.network(pool.network.rawValue, isNew: false)
        let name = network.spec.name
        guard let subnet = network.subnet(pool.family), let gateway = network.gateway(pool.family) else {
            throw PluginError("network \(name) has no \(pool.family)")
        }
        var wanted: IPAddress?
        if let text = request.Address, !text.isEmpty {
            guard let address = IPAddress(text), address.family == pool.family else {
                throw PluginError("\(text) is no \(pool.family) address")
            }
            wanted = address
        }
        func answer(_ address: IPAddress) -> Response.Address { Response.Address(Address: "\(address)/\(subnet.length)") }
        if case .text("com.docker.network.gateway")? = request.Options?["RequestAddressType"] {
            guard wanted ?? gateway == gateway else {
                throw PluginError("the gateway of network \(name) is \(gateway): leave out --gateway")
            }
            return answer(gateway)
        }
        guard state.networks.values.contains(network.id) else {
            // Before its CreateNetwork, an address is one that the user wants kept free.
            if let wanted, network.auxiliaryAddresses.contains(wanted) { return answer(wanted) }
            throw PluginError(
                "\(wanted.map { "\($0): " } ?? "")--aux-address is given where network \(name) is made (`weft network create`), "
                    + "and --ipam-driver weft goes with --driver weft only")
        }
        return answer(try await backend.reserve(pool, wanted))
    }

    // MARK: Networks

    private func createNetwork(_ request: Request.Network) async throws {
        guard case .map(let options)? = request.Options?["com.docker.network.generic"],
            case .text(let reference)? = options[Constants.networkOption]
        else { throw PluginError("which network of the swarm? Give its id with -o weft.id=ID as well as with --ipam-opt weft.id=ID") }
        try refuseOthers(options, "-o")
        let network = try await backend.network(reference, isNew: true)
        let pools = (request.IPv4Data ?? []) + (request.IPv6Data ?? [])
        guard pools.allSatisfy({ $0.AddressSpace?.hasPrefix("weft") == true }),
            pools.map({ $0.Pool.flatMap { AnyIPPrefix($0) } }) == network.subnets.map({ network.subnet($0.family) })
        else {
            throw PluginError(
                "the addresses of network \(network.spec.name) are Weft's to give: create it with "
                    + "\(network.spec.ipv6 ? "--ipv6 " : "")--ipam-driver weft --ipam-opt weft.id=\(network.id)")
        }
        try change { $0.networks[request.NetworkID] = network.id }
    }

    private func refuseOthers(_ options: [String: OptionValue]?, _ option: String) throws {
        if let other = options?.keys.filter({ $0 != Constants.networkOption }).sorted().first {
            throw PluginError(
                "\(option) \(other): options belong to the network of the swarm; give them to `weft network create`")
        }
    }

    private func network(of request: Request.Endpoint) async throws -> Network {
        guard let id = state.networks[request.NetworkID] else {
            throw PluginError(
                "this network is not, or no longer, of the swarm that this node is in: remove it (docker network rm) and use "
                    + "one of `weft network ls`")
        }
        return try await backend.network(id.rawValue, isNew: false)
    }

    // MARK: Endpoints

    private func createEndpoint(_ request: Request.Endpoint) async throws -> Response.Endpoint {
        let network = try await network(of: request)
        guard let ipv4 = request.Interface?.Address.flatMap({ IPv4Prefix.parts($0) })?.address else {
            throw PluginError("an endpoint of network \(network.spec.name) needs an IPv4 address")
        }
        guard network.spec.ipv6 || request.Interface?.AddressIPv6?.isEmpty ?? true else {
            throw PluginError("network \(network.spec.name) has no IPv6: leave out --ip6")
        }
        let ipv6 = request.Interface?.AddressIPv6.flatMap { IPv6Prefix.parts($0) }?.address
        guard ipv6 != nil || request.Interface?.AddressIPv6?.isEmpty ?? true else {
            throw PluginError("\(request.Interface?.AddressIPv6 ?? "") is no IPv6 address with a prefix length")
        }
        let given = request.Interface?.MacAddress ?? ""
        let mac: MACAddress
        if given.isEmpty {
            mac = try await backend.freeMAC(for: ipv4, on: network.id)
        } else {
            guard let parsed = MACAddress(given), parsed.rawValue != 0, !parsed.isMulticast else {
                throw PluginError("\(given) cannot be an interface's address: it is zero, a group address, or none at all")
            }
            mac = parsed
        }
        let task = try Self.task(request.Options ?? [:])
        let endpoint = EndpointSpec(network: network.id, ipv4: ipv4, ipv6: ipv6, mac: mac, task: task)
        try change { $0.endpoints[request.EndpointID] = PluginEndpoint(endpoint) }
        return Response.Endpoint(Interface: .init(MacAddress: given.isEmpty ? "\(mac)" : nil))
    }

    /// Whose backend the endpoint is to be, which weftd itself says where it makes a task's container.
    private static func task(_ options: [String: OptionValue]) throws -> ServingTask? {
        let own = [Constants.serviceOption, Constants.taskOption, Constants.slotOption]
        if let other = options.keys.filter({ !$0.hasPrefix("com.docker.") && !own.contains($0) }).sorted().first {
            throw PluginError("--driver-opt \(other) is none of Weft's options")
        }
        let texts = own.compactMap { name -> String? in if case .text(let text)? = options[name] { text } else { nil } }
        guard !texts.isEmpty else { return nil }
        guard texts.count == own.count, let slot = UInt64(texts[2]) else {
            throw PluginError("\(own.joined(separator: ", ")) are for the containers of services' tasks")
        }
        return ServingTask(service: ServiceID(texts[0]), task: TaskID(texts[1]), slot: slot)
    }

    private func join(_ request: Request.Endpoint) async throws -> Response.Join {
        let network = try await network(of: request)
        guard let endpoint = state.endpoints[request.EndpointID] else {
            throw PluginError("endpoint \(request.EndpointID) was not created, or is deleted")
        }
        let sandbox = request.SandboxKey ?? request.EndpointID
        // The engine adds no route twice: each network of a container leads to the resolver by a prefix of its own,
        // and when one is left, the next longer one takes over.
        let taken = state.endpoints.filter { $0.key != request.EndpointID && $0.value.sandbox == sandbox }
            .compactMap(\.value.resolverLength)
        guard let length = Self.resolverLengths.reversed().first(where: { !taken.contains($0) }) else {
            throw PluginError("a container can be on \(Self.resolverLengths.count) of Weft's networks at a time")
        }
        try change {
            $0.endpoints[request.EndpointID]?.sandbox = sandbox
            $0.endpoints[request.EndpointID]?.resolverLength = length
        }
        let interface = try await backend.attach(EndpointID(request.EndpointID), endpoint.endpoint, sandboxKey: sandbox)
        let resolver = IPv4Address(rawValue: Constants.resolver.rawValue & (UInt32.max << UInt32(32 - length)))
        return Response.Join(
            InterfaceName: .init(SrcName: interface), StaticRoutes: [.init(Destination: "\(resolver)/\(length)")],
            DisableGatewayService: network.spec.isInternal ? true : nil)
    }

    private func information(_ request: Request.Endpoint) async throws -> Response.Information {
        guard let id = state.networks[request.NetworkID], let network = try? await backend.network(id.rawValue, isNew: false) else {
            return Response.Information(Value: [:])
        }
        return Response.Information(Value: ["weft.network": network.spec.name, "weft.vni": "\(network.vni)"])
    }
}

extension Network {
    /// The part of a subnet that addresses come from, where the user named one.
    fileprivate func range(_ family: IPAddress.Family) -> AnyIPPrefix? {
        switch family {
        case .v4: spec.ipam.range.map(AnyIPPrefix.v4)
        case .v6: spec.ipam6?.range.map(AnyIPPrefix.v6)
        }
    }

    fileprivate var auxiliaryAddresses: [IPAddress] {
        Array(spec.ipam.erased.auxiliaryAddresses.values) + (spec.ipam6?.erased.auxiliaryAddresses.values.map(\.self) ?? [])
    }
}
