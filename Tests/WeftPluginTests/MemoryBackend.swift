import Synchronization
import Testing
import WeftModel
import WeftNet
import WeftPlugin

/// A node that keeps its addresses and interfaces in memory.
final class MemoryBackend: PluginBackend {
    struct State: Sendable {
        var networks: [Network] = []
        var reserved: Set<IPAddress> = []
        var attached: [EndpointID: EndpointSpec] = [:]
        var keys: [String] = []
        var isMember = true
        /// MAC addresses that others have.
        var chosen: Set<MACAddress> = []
    }
    let state = Mutex(State())

    init(networks: [Network]) { state.withLock { $0.networks = networks } }

    func network(_ reference: String, isNew: Bool) async throws -> Network {
        try state.withLock { state in
            guard state.isMember else { throw PluginError("no swarm") }
            guard let network = state.networks.first(where: { $0.id.rawValue == reference || $0.spec.name == reference }) else {
                throw PluginError("network \(reference) not found")
            }
            return network
        }
    }

    func reserve(_ subnet: SubnetID, _ wanted: IPAddress?) async throws -> IPAddress {
        try state.withLock { state in
            let network = state.networks.first { $0.id == subnet.network }?.subnet(subnet.family)?.network
            let free = (2...).lazy.compactMap { network?.advanced(by: $0) }.first { !state.reserved.contains($0) }
            guard let address = wanted ?? free, state.reserved.insert(address).inserted else {
                throw PluginError("the address is already in use")
            }
            return address
        }
    }

    func freeMAC(for ipv4: IPv4Address, on network: NetworkID) async throws -> MACAddress {
        state.withLock { state in
            MACAddress.choices(forIPv4: ipv4).first { !state.chosen.contains($0) } ?? MACAddress(forIPv4: ipv4)
        }
    }

    func release(_ network: NetworkID, _ address: IPAddress) async { _ = state.withLock { $0.reserved.remove(address) } }

    func attach(_ id: EndpointID, _ endpoint: EndpointSpec, sandboxKey: String) async throws -> String {
        state.withLock {
            $0.attached[id] = endpoint
            $0.keys.append(sandboxKey)
        }
        return "wc00000001"
    }

    func detach(_ id: EndpointID) async { _ = state.withLock { $0.attached.removeValue(forKey: id) } }
}

final class MemoryStore: PluginStore {
    let state = Mutex(PluginState())
    func loadPlugin() throws -> PluginState { state.withLock { $0 } }
    func savePlugin(_ state: PluginState) throws { self.state.withLock { $0 = state } }
}

func network(_ name: String, _ subnet: String, _ subnet6: String? = nil, isInternal: Bool = false) throws -> Network {
    var spec = NetworkSpec(name: name)
    let prefix6 = try subnet6.map { try #require(IPv6Prefix($0)) }
    if prefix6 != nil { spec.ipam6 = IPAMConfig(auxiliaryAddresses: ["printer": try #require(IPv6Address("fd77:1::5"))]) }
    spec.isInternal = isInternal
    spec.ipam.auxiliaryAddresses = ["printer": try #require(IPv4Address("10.77.1.5"))]
    let prefix = try #require(IPv4Prefix(subnet))
    return Network(
        id: NetworkID("id-\(name)"), createdAt: Instant(nanoseconds: 0), spec: spec, vni: try #require(VNI(4097)),
        subnet: prefix, gateway: try #require(prefix.network.advanced(by: 1)), subnet6: prefix6,
        gateway6: prefix6?.network.advanced(by: 1))
}
