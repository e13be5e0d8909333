import WeftModel
import WeftNet

/// Endpoints by id, and who has which MAC address: what every attach asks, however many there are.
struct EndpointTable: Sendable {
    private struct Interface: Hashable {
        let network: NetworkID
        let mac: MACAddress
    }

    private var byID: [EndpointID: Endpoint] = [:]
    private var byInterface: [Interface: Few<EndpointID>] = [:]

    var keys: some Collection<EndpointID> { byID.keys }
    var values: some Collection<Endpoint> { byID.values }

    subscript(id: EndpointID) -> Endpoint? {
        get { byID[id] }
        set {
            if let old = byID[id] {
                let interface = Interface(network: old.network, mac: old.mac)
                byInterface[interface]?.remove(id)
                if byInterface[interface]?.isEmpty == true { byInterface[interface] = nil }
            }
            byID[id] = newValue
            if let new = newValue {
                byInterface[Interface(network: new.network, mac: new.mac), default: Few()].insert(id)
            }
        }
    }

    /// Whether an endpoint of the network that meets the condition has the MAC address.
    func has(_ mac: MACAddress, on network: NetworkID, where condition: (Endpoint) -> Bool = { _ in true }) -> Bool {
        byInterface[Interface(network: network, mac: mac)]?.contains { byID[$0].map(condition) ?? false } ?? false
    }
}
