import WeftModel
import WeftNet

/// Who has which MAC address on which network: what every attach asks, however many endpoints there are.
struct InterfaceIndex: Sendable {
    private struct Interface: Hashable {
        let network: NetworkID
        let mac: MACAddress
    }

    private var byInterface: [Interface: Few<EndpointID>] = [:]

    mutating func insert(_ endpoint: Endpoint) {
        byInterface[Interface(network: endpoint.network, mac: endpoint.mac), default: Few()].insert(endpoint.id)
    }

    mutating func remove(_ endpoint: Endpoint) {
        let interface = Interface(network: endpoint.network, mac: endpoint.mac)
        byInterface[interface]?.remove(endpoint.id)
        if byInterface[interface]?.isEmpty == true { byInterface[interface] = nil }
    }

    /// Whether an endpoint of the network that meets the condition has the MAC address.
    func has(_ mac: MACAddress, on network: NetworkID, where condition: (EndpointID) -> Bool) -> Bool {
        byInterface[Interface(network: network, mac: mac)]?.contains(where: condition) ?? false
    }
}

/// Endpoints by id, and by their interfaces.
struct EndpointTable: Sendable {
    private var byID = Table<Endpoint>()
    private var interfaces = InterfaceIndex()

    var keys: some Collection<EndpointID> { byID.keys }
    var values: some Collection<Endpoint> { byID.values }

    subscript(id: EndpointID) -> Endpoint? {
        get { byID[id] }
        set {
            if let old = byID[id] { interfaces.remove(old) }
            byID[id] = newValue
            if let newValue { interfaces.insert(newValue) }
        }
    }

    /// Whether an endpoint of the network has the MAC address.
    func has(_ mac: MACAddress, on network: NetworkID) -> Bool { interfaces.has(mac, on: network) { _ in true } }
}
