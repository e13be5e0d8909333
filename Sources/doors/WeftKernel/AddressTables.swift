internal import WeftBPF
internal import WeftDatapath
internal import WeftNet

/// The maps that say where addresses are, who may send for a network, which subnets are the swarm's, and who is behind a service.
struct AddressTables: Sendable {
    let programs: DatapathPrograms

    func remove(_ address: OverlayAddress) throws { try programs.removeForward(address) }
    func remove(_ member: Membership) throws { try programs.removeVTEP(member) }
    func remove(_ subnet: AnyIPPrefix) throws { try programs.removeSubnet(subnet) }
    func removeService(_ address: OverlayAddress) throws { try programs.removeService(address) }
    func set(_ address: OverlayAddress, _ service: VirtualService) throws { try programs.putService(address, service) }
    func set(_ members: [(Membership, MemberTunnel)]) throws { try programs.putVTEPs(members) }
    func set(_ subnet: AnyIPPrefix, _ vni: VNI) throws { try programs.putSubnet(subnet, vni) }
    func set(_ address: OverlayAddress, _ target: ForwardTarget) throws { try programs.putForward(address, target) }
    func set(_ entries: [(OverlayAddress, ForwardTarget)]) throws { try programs.putForward(entries) }

    /// Reads the maps. Of entries that lead to an interface, `endpoints` tells whose it is.
    func observe(into state: inout ObservedState, endpoints: EndpointInterfaces) throws {
        for (address, target) in try programs.forward() {
            state.locations[address] =
                switch target {
                case .remote(let vtep, let mac, let mtu, let tunnel, let isBackend):
                    .remote(vtep: vtep, mac: mac, mtu: mtu, tunnel: tunnel, isBackend: isBackend)
                case .local(let interface, let mac, let isBackend, let isHost):
                    endpoints.endpoint(at: interface).map { .local($0, mac: mac, isBackend: isBackend, isHost: isHost) } ?? .stale
                case .service: .service
                }
        }
        state.members = try programs.vteps()
        state.subnets = try programs.subnets()
        state.services = try programs.services()
    }
}
