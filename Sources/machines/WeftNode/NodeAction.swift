package import WeftModel
package import WeftNet

/// Why an endpoint was not made or removed. `description` is a sentence for the user, Docker's words where clients
/// compare them.
package enum AttachError: Error, Hashable, Sendable, CustomStringConvertible {
    case networkNotFound(String)
    case networkAmbiguous(String, matches: Int)
    case notAttachable(String)
    case alreadyAttached(name: String, network: String)
    case badName(String)
    case badMAC(MACAddress)
    case macInUse(MACAddress, network: String)
    case addressRefused(IPAddress, network: String, reason: String)
    case noFreeAddress(network: String, reason: String)
    case noIPv6(IPv6Address, network: String)
    case noSubnet(IPAddress.Family, network: String)
    case networkRemoved(String)
    case sandboxGone(SandboxID)
    case detached(EndpointID)
    case datapath(String)
    case endpointNotFound(EndpointID)
    case endpointTaken(EndpointID)
    case leaving
    case notSaved(String)

    package var description: String {
        switch self {
        case .networkNotFound(let name): "network \(name) not found"
        case .networkAmbiguous(let text, let matches):
            "network \(text) is ambiguous (\(matches) matches found): give more of its id"
        case .notAttachable(let name):
            "Could not attach to network \(name): rpc error: code = PermissionDenied desc = network \(name) not manually attachable"
        case .alreadyAttached(let name, let network):
            "endpoint with name \(name) already exists in network \(network)"
        case .badName(let name):
            "\"\(name)\" cannot be a name in DNS: use at most 253 characters, without spaces"
        case .badMAC(let mac): "\(mac) cannot be an interface's address: it is zero or a group address"
        case .macInUse(let mac, let network): "the MAC address \(mac) is already in use in network \(network)"
        case .addressRefused(let address, let network, let reason):
            "Could not attach to network \(network) with address \(address): \(reason)"
        case .noFreeAddress(let network, let reason): "no free address in network \(network): \(reason)"
        case .noIPv6(let address, let network):
            "Could not attach to network \(network) with address \(address): the network has no IPv6; make one with "
                + "`network create --ipv6`"
        case .noSubnet(let family, let network): "network \(network) has no \(family)"
        case .networkRemoved(let name): "network \(name) was removed meanwhile"
        case .sandboxGone(let sandbox): "sandbox \(sandbox) ended meanwhile"
        case .detached(let endpoint): "endpoint \(endpoint) was removed meanwhile"
        case .datapath(let reason): reason
        case .notSaved(let reason): "this node could not remember it, so it is not made: \(reason)"
        case .leaving: "this node is leaving the swarm"
        case .endpointTaken(let endpoint): "endpoint \(endpoint) exists already, with another address or network"
        case .endpointNotFound(let endpoint): "endpoint \(endpoint) not found"
        }
    }
}

/// What the shell must do, in this order.
package enum NodeAction: Hashable, Sendable {
    /// `saved` is worth saving. `urgent`: durably, before any action that follows; else soon. When that fails, `notSaved` follows, and
    /// of the actions left those that tell others of `undurable` are not carried out.
    case persist(urgent: Bool)
    case send(NodeMessage)
    /// Bring the data path to what the machine now says, then report `datapathApplied` with this generation, or with a
    /// later one if more came meanwhile.
    case reconcile(Generation)
    /// Names or addresses that the resolver answers with changed.
    case namesChanged
    case reply(RequestID, Result<Endpoint, AttachError>)
    case reserved(RequestID, Result<IPAddress, AttachError>)
    /// Answers `awaitOthers`.
    case followed(RequestID)
    /// What `assignedTasks` says is different.
    case tasksAssigned
    /// What `keyNews` says is different, or may be.
    case keysChanged
    /// Endpoints of this node ended without its doing: their sandboxes lose the interface.
    case endpointsLost([Endpoint], reason: String)
    /// The manager ended the session for good: this node left, was removed, or opened a newer session.
    case dismissed(reason: String)
}
