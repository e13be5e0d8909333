package import WeftNet

/// Why an address, block, subnet or VNI could not be had. `description` is a sentence for the user.
package enum IPAMError: Error, Hashable, Sendable, CustomStringConvertible {
    case subnetUnusable(AnyIPPrefix, reason: String)
    case rangeOutsideSubnet(range: AnyIPPrefix, subnet: AnyIPPrefix)
    case gatewayUnusable(IPAddress, subnet: AnyIPPrefix)
    case auxiliaryUnusable(name: String, IPAddress, subnet: AnyIPPrefix)
    case auxiliaryTaken(name: String, IPAddress)
    case noAddressForHosts(AnyIPPrefix)
    case poolsExhausted(pools: [AnyIPPrefix], length: Int)
    case vnisExhausted
    case addressOutsideSubnet(IPAddress, subnet: AnyIPPrefix)
    case addressReserved(IPAddress, purpose: String)
    case addressInUse(IPAddress)
    case addressHeld(IPAddress)
    case addressNotLeased(IPAddress)
    case noFreeAddress

    package var description: String {
        switch self {
        case .subnetUnusable(let subnet, let reason):
            "subnet \(subnet) cannot be used for an overlay network: \(reason)"
        case .rangeOutsideSubnet(let range, let subnet):
            "the IP range \(range) does not lie within the subnet \(subnet)"
        case .gatewayUnusable(let gateway, let subnet):
            "the gateway \(gateway) is no host address of the subnet \(subnet)"
        case .auxiliaryUnusable(let name, let address, let subnet):
            "the auxiliary address \(name)=\(address) is no host address of the subnet \(subnet)"
        case .auxiliaryTaken(let name, let address):
            "the auxiliary address \(name)=\(address) is used twice; the gateway needs an address of its own"
        case .noAddressForHosts(let subnet):
            "the subnet \(subnet) leaves no address for endpoints beside gateway and auxiliary addresses"
        case .poolsExhausted(let pools, let length):
            "no free subnet of length /\(length) is left in the address pools \(pools.map(\.description).joined(separator: ", ")): "
                + "remove unused networks or give one with --subnet"
        case .vnisExhausted:
            "all VXLAN network identifiers are in use: remove unused networks"
        case .addressOutsideSubnet(let address, let subnet):
            "the address \(address) is no host address of the subnet \(subnet)"
        case .addressReserved(let address, let purpose):
            "the address \(address) is reserved: it is the network's \(purpose)"
        case .addressInUse(let address):
            "the address \(address) is already in use"
        case .addressHeld(let address):
            "the address \(address) is still held by an interface of this host"
        case .addressNotLeased(let address):
            "the address \(address) lies in no block of this node"
        case .noFreeAddress:
            "every address of this node's blocks is in use or resting"
        }
    }
}
