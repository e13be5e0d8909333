internal import WeftModel
internal import WeftNet

/// The operations that lead from what is observed to what is desired, in an order in which no packet goes astray:
/// the host's setting, removals (entries before the interfaces they name), who is who, endpoints, the way to them.
package func difference(desired: DesiredState, observed: ObservedState) -> [DatapathOperation] {
    var operations: [DatapathOperation] = []
    let parts = observed.host == desired.host ? observed.parts : []
    operations += HostPart.allCases.filter { !parts.contains($0) }.map { .prepareHost($0, desired.host) }

    let (kept, unwanted, absent) = match(desired, observed)
    let missing = absent.filter { $0.placement != .engine(isNew: false) }
    let locations = reachable(desired.locations, without: Set(absent.map(\.id)).subtracting(missing.map(\.id)))
    operations += observed.strayPrograms.sorted().map { .removeStrayProgram(interface: $0) }
    operations += observed.locations.keys.filter { locations[$0] == nil }.sorted().map { .removeLocation($0) }
    operations += observed.strayEntries.sorted().map { .removeStrayEntry(interface: $0) }
    operations += observed.members.subtracting(desired.members).sorted().map { .removeMember($0) }
    operations += observed.subnets.keys.filter { desired.subnets[$0] == nil }.sorted().map { .removeSubnet($0) }
    operations += unwanted.sorted().map { .removeEndpoint(hostInterface: $0) }

    operations += desired.subnets.sorted { $0.key < $1.key }
        .filter { observed.subnets[$0.key] != $0.value }.map { .setSubnet($0.key, $0.value) }
    operations += desired.members.subtracting(observed.members).sorted().map { .addMember($0) }

    for (name, endpoint) in kept.sorted(by: { $0.key < $1.key }) where observed.endpoints[name] != endpoint.whenDone {
        operations.append(.repairEndpoint(endpoint, hostInterface: name))
    }
    var names = Set(kept.keys)
    for endpoint in missing.sorted(by: { $0.id < $1.id }) {
        let attempts = (UInt8.min...UInt8.max).lazy.map { hostInterfaceName(endpoint.id, attempt: $0) }
        guard let name = attempts.first(where: { !names.contains($0) }) else { continue }
        names.insert(name)
        operations.append(.createEndpoint(endpoint, hostInterface: name))
    }

    // A new veth has a new index: what leads to a recreated endpoint is written again.
    let recreated = Set(missing.map(\.id))
    let changed = locations.filter { address, location in
        if case .local(let id, _) = location, recreated.contains(id) { return true }
        return observed.locations[address] != location
    }
    operations += changed.sorted { $0.key < $1.key }.map { .setLocation($0.key, $0.value) }
    return operations
}

/// The locations but for those of endpoints that have lost their interface for good.
private func reachable(_ locations: [OverlayAddress: Location], without lost: Set<EndpointID>) -> [OverlayAddress: Location]
{
    guard !lost.isEmpty else { return locations }
    return locations.filter { if case .local(let id, _) = $0.value { !lost.contains(id) } else { true } }
}

/// Pairs desired endpoints with observed ones by the id that a finished veth carries.
private func match(
    _ desired: DesiredState, _ observed: ObservedState
) -> (kept: [String: DesiredEndpoint], unwanted: [String], missing: [DesiredEndpoint]) {
    var kept: [String: DesiredEndpoint] = [:]
    var unwanted: [String] = []
    var found: Set<EndpointID> = []
    for (name, endpoint) in observed.endpoints.sorted(by: { $0.key < $1.key }) {
        guard let id = endpoint.id, let wish = desired.endpoints[id], isSameEndpoint(endpoint.entry, wish.entry),
            found.insert(id).inserted
        else {
            unwanted.append(name)
            continue
        }
        kept[name] = wish
    }
    return (kept, unwanted, desired.endpoints.values.filter { !found.contains($0.id) })
}

/// False when the addresses inside the sandbox cannot be the desired ones. A lost entry can be written again.
private func isSameEndpoint(_ observed: EndpointEntry?, _ desired: EndpointEntry) -> Bool {
    guard let observed else { return true }
    return observed.address == desired.address && observed.mac == desired.mac && observed.vni == desired.vni
        && observed.ipv6?.address == desired.ipv6?.address
}
