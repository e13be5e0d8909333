internal import WeftModel
internal import WeftNet

/// The operations that lead from what is observed to what is desired, in an order in which no packet goes astray:
/// the host's setting, removals (entries before the interfaces they name), who is who, endpoints, the way to them.
package func difference(desired: DesiredState, observed: ObservedState) -> [DatapathOperation] {
    difference(desired: desired, observed: Observation(observed), in: nil)
}

/// The same, of what `keys` name; what they do not name is as desired. Nil: of everything.
func difference(desired: DesiredState, observed: Observation, in keys: DatapathKeys?) -> [DatapathOperation] {
    let state = observed.state
    var operations: [DatapathOperation] = []
    let parts = state.parts(for: desired.host)
    operations += HostPart.allCases.filter { !parts.contains($0) }.map { .prepareHost($0, desired.host) }

    let pairs = Pairs(desired, observed, keys?.endpoints)
    let addresses = keys?.addresses ?? Set(desired.locations.keys).union(state.locations.keys)
    let locations = addresses.sorted().map { ($0, pairs.reachable(desired.locations[$0])) }
    let members = (keys?.members ?? Set(desired.members.keys).union(state.members.keys)).sorted()
    let services = (keys?.services ?? Set(desired.services.keys).union(state.services.keys)).sorted()
    let published = (keys?.published ?? Set(desired.published.keys).union(state.published.keys)).sorted()
    let subnets = (keys?.subnets ?? Set(desired.subnets.keys).union(state.subnets.keys)).sorted()

    operations += published.filter { desired.published[$0] == nil && state.published[$0] != nil }.map { .removePublished($0) }
    operations += state.strayPrograms.sorted().map { .removeStrayProgram(interface: $0) }
    operations += locations.filter { $1 == nil && state.locations[$0] != nil }.map { .removeLocation($0.0) }
    operations += state.strayEntries.sorted().map { .removeStrayEntry(interface: $0) }
    operations += members.filter { state.members[$0] != nil && desired.members[$0] == nil }.map { .removeMember($0) }
    operations += subnets.filter { desired.subnets[$0] == nil && state.subnets[$0] != nil }.map { .removeSubnet($0) }
    operations += services.filter { desired.services[$0] == nil && state.services[$0] != nil }.map { .removeService($0) }
    operations += pairs.unwanted.sorted().map { .removeEndpoint(hostInterface: $0) }

    operations += subnets.compactMap { subnet in
        desired.subnets[subnet].flatMap { state.subnets[subnet] == $0 ? nil : .setSubnet(subnet, $0) }
    }
    operations += members.compactMap { member in
        desired.members[member].flatMap { state.members[member] == $0 ? nil : .setMember(member, $0) }
    }

    for (name, endpoint) in pairs.kept.sorted(by: { $0.key < $1.key }) where !endpoint.isDone(state.endpoints[name]) {
        operations.append(.repairEndpoint(endpoint, hostInterface: name))
    }
    var made: Set<String> = []
    for endpoint in pairs.missing {
        let attempts = (UInt8.min...UInt8.max).lazy.map { hostInterfaceName(endpoint.id, attempt: $0) }
        let free = attempts.first { !made.contains($0) && (state.endpoints[$0] == nil || pairs.unwanted.contains($0)) }
        guard let name = free else { continue }
        made.insert(name)
        operations.append(.createEndpoint(endpoint, hostInterface: name))
    }

    // A new veth has a new index: what leads to a recreated endpoint is written again.
    let recreated = Set(pairs.missing.map(\.id))
    // A service comes after its backends, its address after that, and who asks from outside last.
    var virtual: [DatapathOperation] = []
    for case (let address, let location?) in locations {
        var isChanged = state.locations[address] != location
        if case .local(let id, _, _, _) = location, recreated.contains(id) { isChanged = true }
        guard isChanged else { continue }
        if location == .service {
            virtual.append(.setLocation(address, location))
        } else {
            operations.append(.setLocation(address, location))
        }
    }
    operations += services.compactMap { address in
        desired.services[address].flatMap { state.services[address] == $0 ? nil : .setService(address, $0) }
    }
    return operations + virtual
        + published.compactMap { port in
            desired.published[port].flatMap { state.published[port] == $0 ? nil : .setPublished(port, $0) }
        }
}

/// Desired endpoints and the observed ones that are theirs, by the id that a finished veth carries.
private struct Pairs {
    private let desired: DesiredState
    private let observed: Observation
    /// By the name of the host end.
    private(set) var kept: [String: DesiredEndpoint] = [:]
    private(set) var unwanted: Set<String> = []
    /// Those to be made, by id.
    private(set) var missing: [DesiredEndpoint] = []

    /// Of all endpoints, or of some.
    init(_ desired: DesiredState, _ observed: Observation, _ ids: Set<EndpointID>?) {
        self.desired = desired
        self.observed = observed
        if ids == nil { unwanted = observed.unfinished }
        for id in (ids ?? Set(desired.endpoints.keys).union(observed.ids)).sorted() {
            let name = interface(of: id)
            observed.forEachInterface(of: id) { if $0 != name { unwanted.insert($0) } }
            guard let wish = desired.endpoints[id] else { continue }
            if let name {
                kept[name] = wish
            } else if wish.placement != .engine(isNew: false) {
                missing.append(wish)
            }
        }
    }

    /// The interface that can be the endpoint's: the addresses inside are the desired ones. A lost entry can be written
    /// again.
    private func interface(of id: EndpointID) -> String? {
        guard let wish = desired.endpoints[id] else { return nil }
        var name: String?
        observed.forEachInterface(of: id) { candidate in
            let entry = observed.state.endpoints[candidate]?.entry
            if entry.map({ isSameEndpoint($0, wish.entry) }) ?? true { name = min(name ?? candidate, candidate) }
        }
        return name
    }

    /// Nil for what leads to an endpoint that has lost its interface for good.
    func reachable(_ location: Location?) -> Location? {
        guard case .local(let id, _, _, _)? = location, desired.endpoints[id]?.placement == .engine(isNew: false) else {
            return location
        }
        return interface(of: id) == nil ? nil : location
    }
}

private func isSameEndpoint(_ observed: EndpointEntry, _ desired: EndpointEntry) -> Bool {
    observed.address == desired.address && observed.mac == desired.mac && observed.vni == desired.vni
        && observed.ipv6?.address == desired.ipv6?.address
}
