package import WeftModel
import WeftNet

/// Services' own addresses, and the endpoints behind them.
///
/// An address of a service is in the kernel where its network has an endpoint, as other addresses are.
extension Compilation {
    /// A service on one network.
    struct ServicePlace: Hashable, Comparable, Sendable {
        let service: ServiceID
        let network: NetworkID

        static func < (left: Self, right: Self) -> Bool { (left.service, left.network) < (right.service, right.network) }
    }

    /// An endpoint that is a service's task.
    struct TaskEndpoint: Hashable, Sendable {
        let place: ServicePlace
        let node: NodeID
        let isServing: Bool
        let backend: VirtualService.Backend
    }

    /// Sets one service as it is now; nil when it is gone.
    package mutating func set(_ id: ServiceID, service: ServiceView?) {
        guard services[id] != service else { return }
        let before = networksOfService(id)
        for network in before { unpublish(ServicePlace(service: id, network: network)) }
        for network in before { servicesOn[network]?.remove(id) }
        for network in before where servicesOn[network]?.isEmpty == true { servicesOn[network] = nil }
        services[id] = service
        for network in networksOfService(id) {
            servicesOn[network, default: []].insert(id)
            publish(ServicePlace(service: id, network: network))
        }
        for network in before.union(networksOfService(id)) { followPorts(of: ServicePlace(service: id, network: network)) }
    }

    private func networksOfService(_ id: ServiceID) -> Set<NetworkID> { Set(services[id]?.addresses.map(\.network) ?? []) }

    /// All of a network.
    mutating func publishServices(on network: NetworkID) {
        for id in servicesOn[network] ?? [] { publish(ServicePlace(service: id, network: network)) }
    }

    /// Takes back what `publishServices` did. Network, presence and services must be as they were then.
    mutating func unpublishServices(on network: NetworkID) {
        for id in servicesOn[network] ?? [] { unpublish(ServicePlace(service: id, network: network)) }
    }

    private mutating func publish(_ place: ServicePlace) {
        forEachAddress(of: place) { compilation, address in
            compilation.virtualHolders[address, default: Few()].insert(place)
            compilation.serve(address)
            compilation.locate(address)
        }
        forEachPort(of: place) { compilation, port in
            compilation.publishers[port, default: Few()].insert(place)
            compilation.lead(port)
        }
    }

    private mutating func unpublish(_ place: ServicePlace) {
        forEachAddress(of: place) { compilation, address in
            compilation.virtualHolders[address]?.remove(place)
            if compilation.virtualHolders[address]?.isEmpty == true { compilation.virtualHolders[address] = nil }
            compilation.serve(address)
            compilation.locate(address)
        }
        forEachPort(of: place) { compilation, port in
            compilation.publishers[port]?.remove(place)
            if compilation.publishers[port]?.isEmpty == true { compilation.publishers[port] = nil }
            compilation.lead(port)
        }
    }

    private mutating func forEachAddress(of place: ServicePlace, _ body: (inout Compilation, OverlayAddress) -> Void) {
        guard isLocal(place.network), let network = networks[place.network] else { return }
        for address in services[place.service]?.addresses ?? [] where address.network == place.network {
            body(&self, OverlayAddress(vni: network.vni, address: address.ipv4))
            if let ipv6 = address.ipv6 { body(&self, OverlayAddress(vni: network.vni, address: ipv6)) }
        }
    }

    /// Whose an address is: of two services, for a moment, the lower id's.
    private func holder(of address: OverlayAddress) -> ServicePlace? {
        var holder: ServicePlace?
        virtualHolders[address]?.forEach { holder = min(holder ?? $0, $0) }
        return holder
    }

    /// Whether an address is a service's.
    func isVirtual(_ address: OverlayAddress) -> Bool { virtualHolders[address] != nil }

    /// Brings a service's entry up to date, which is kept under its address of IPv4.
    private mutating func serve(_ address: OverlayAddress) {
        guard case .v4(let ipv4) = address.address else { return }
        touched.services.insert(address)
        desired.services[address] = holder(of: address).flatMap { place in
            guard let service = services[place.service],
                let own = service.addresses.first(where: { $0.network == place.network && $0.ipv4 == ipv4 })
            else { return nil }
            let backends = (tasksAt[place] ?? []).compactMap { backend($0) }
            return VirtualService(
                ipv6: own.ipv6, backends: backends.filter { $0.ipv4 != ipv4 }, isBySource: service.isBySource)
        }
    }

    /// Nil for a task that does not serve, or that cannot be reached.
    private func backend(_ id: EndpointID) -> VirtualService.Backend? {
        guard let task = taskEndpoint(id), task.isServing else { return nil }
        guard task.node == node || (tunnels[task.node] != nil && !downNodes.contains(task.node)) else { return nil }
        return task.backend
    }

    func taskEndpoint(_ id: EndpointID) -> TaskEndpoint? {
        if let endpoint = attachments[id]?.endpoint {
            return endpoint.task.map {
                TaskEndpoint($0, endpoint.network, endpoint.node, endpoint.ipv4, endpoint.ipv6)
            }
        }
        return remotes[id].flatMap { remote in
            remote.task.map { TaskEndpoint($0, remote.network, remote.node, remote.ipv4, remote.ipv6) }
        }
    }

    /// An endpoint is another service's task than before, or serves where it did not.
    mutating func followTask(_ id: EndpointID, was former: TaskEndpoint?) {
        let task = taskEndpoint(id)
        guard task != former else { return }
        if let former, former.place != task?.place {
            tasksAt[former.place]?.remove(id)
            if tasksAt[former.place]?.isEmpty == true { tasksAt[former.place] = nil }
            serve(former.place)
        }
        if let task {
            tasksAt[task.place, default: []].insert(id)
            serve(task.place)
        }
    }

    /// Services with tasks among these endpoints: whether these can be reached has changed.
    mutating func followTasks(_ ids: Set<EndpointID>) {
        for place in Set(ids.compactMap { taskEndpoint($0)?.place }) { serve(place) }
    }

    private mutating func serve(_ place: ServicePlace) {
        forEachAddress(of: place) { compilation, address in compilation.serve(address) }
    }
}

extension Compilation.TaskEndpoint {
    fileprivate init(
        _ task: ServingTask, _ network: NetworkID, _ node: NodeID, _ ipv4: IPv4Address, _ ipv6: IPv6Address?
    ) {
        self.init(
            place: .init(service: task.service, network: network), node: node, isServing: task.rotation == .serving,
            backend: .init(ipv4: ipv4, ipv6: ipv6))
    }
}

extension ServiceView {
    /// `weft.balance.affinity=source`.
    fileprivate var isBySource: Bool { labels[Self.labelPrefix + "affinity"] == "source" }
}
