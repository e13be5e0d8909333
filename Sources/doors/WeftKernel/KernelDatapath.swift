// The data plane in Linux: implements `Datapath` by netlink, nftables and eBPF. Decides nothing: what should be there comes in as
// operations, each of which may come twice. All calls block, so they belong on a thread of their own.
internal import Synchronization
package import WeftBPF
package import WeftDatapath
package import WeftLinux
package import WeftModel
package import WeftNet
internal import WeftWire

/// The data plane in the kernel: veth pairs by netlink, programs and maps by BPF, the way out by nftables.
///
/// Each kind of thing in the kernel has a part of its own (`HostSetting`, `EndpointInterfaces`, `AddressTables`), which performs its operations
/// and observes what is there; this type puts the parts together.
///
/// All calls block, removing an endpoint for some 15 ms: they belong on a thread of their own. What is pinned works on without it,
/// and a new instance with the same pin directory adopts it.
package final class KernelDatapath: Datapath, Sendable {
    /// What all host ends and gateways have.
    package static let gatewayMAC = MACAddress.gateway
    /// 169.254.77.53: where every sandbox finds the resolver.
    package static let resolverAddress = Constants.resolver
    /// The table of the routes to local endpoints, and the priority of the rule that looks it up.
    package static let routingTable: UInt32 = 7700
    static let routingRule = RuleMessage(table: routingTable, priority: 100)
    static let vxlanName = "weft_vxlan"
    /// The TAP by which packets go to what encrypts, and come from it.
    package static let tunnelName = "weftesp"

    let programs: DatapathPrograms
    let netlink: NetlinkSocket
    let setting: HostSetting
    let endpoints: EndpointInterfaces
    let tables: AddressTables
    let entrances: Entrances
    /// Finishes attachments once nothing has changed for a second: it keeps all changes of interfaces waiting for some 13 ms each.
    private let settling: IdleWork
    /// True until the programs of a former version run on the maps of this one.
    private let hasPendingLinks: Mutex<Bool>

    /// Loads the programs, adopting what is pinned. `namespace` is the host's, where the underlay is; `attachment` says how programs
    /// are put at interfaces, nil: as is best; `translation` where connections to services are given their backend.
    package init(
        pinDirectory: String, namespace: NetworkNamespace = .current, sizes: MapSizes = .standard,
        attachment: AttachmentKind? = nil, translation: ServiceTranslation = .socket
    ) throws {
        _ = try PinDirectory.mountFileSystemIfAbsent()
        let programs = try DatapathPrograms.open(
            pinDirectory: pinDirectory, namespace: namespace, sizes: sizes, attachment: attachment, translation: translation)
        let netlink = try NetlinkSocket.open(in: namespace)
        self.programs = programs
        self.netlink = netlink
        setting = HostSetting(namespace: namespace, netlink: netlink, programs: programs)
        endpoints = EndpointInterfaces(namespace: namespace, netlink: netlink, programs: programs)
        tables = AddressTables(programs: programs)
        entrances = Entrances(namespace: namespace, netlink: netlink, programs: programs)
        settling = IdleWork("weft.settling", rest: .seconds(1)) { (try? programs.settle()) ?? true }
        settling.postpone()
        hasPendingLinks = Mutex(!programs.adoption.pendingInterfaces.isEmpty)
    }

    /// Keeps other processes from making a data plane with this pin directory, which is made if need be.
    package static func lockPins(_ directory: String) throws -> DirectoryLock {
        _ = try PinDirectory.mountFileSystemIfAbsent()
        try FileSystem.makeDirectory(directory, mode: 0o700)
        return try DirectoryLock(directory)
    }

    /// How programs are put at interfaces.
    package var attachment: AttachmentKind { programs.attachment }

    /// Why connections to services are not given their backend where sockets connect; nil: they are.
    package var socketsProblem: String? { programs.socketsProblem }

    /// An engine has put the endpoint's interface into this namespace: services are translated where its sockets connect. Nothing if
    /// there is no such endpoint.
    package func note(_ endpoint: EndpointID, isIn namespace: NetworkNamespace) throws {
        // The engine's containers are heard of sooner than the kernel is looked at, when weftd starts.
        guard let interface = try endpoints.findInterface(of: endpoint) else { return }
        try programs.putNamespace(cookie: namespace.cookie(), interface: interface)
        endpoints.visitors.enter(endpoint, namespace, interface: interface)
    }

    package func apply(_ operations: [DatapathOperation]) -> [DatapathFailure] {
        var failures: [DatapathFailure] = []
        var rest = operations[...]
        let entries = HostEntries(netlink)
        defer { settling.postpone() }
        settling.postpone()
        while let operation = rest.first {
            let batch = batch(rest)
            rest = rest.dropFirst(batch.count)
            // What leads to an endpoint that could not be made has nowhere to lead.
            if case .setLocation(_, .local(let id, _, _, _)) = operation, failures.contains(where: { $0.endpoint == id }) {
                continue
            }
            do {
                try perform(operation, batch, entries)
            } catch {
                failures += batch.map { DatapathFailure(operation: $0, reason: "\(error)") }
            }
        }
        // An endpoint that could not be made had no traffic before, and does not keep the others on maps that nobody fills.
        if hasPendingLinks.withLock({ $0 }), failures.allSatisfy(\.operation.isCreation) {
            do {
                try programs.updateLinks()
                hasPendingLinks.withLock { $0 = false }
            } catch {
                failures += operations.prefix(1).map { DatapathFailure(operation: $0, reason: "\(error)") }
            }
        }
        return failures
    }

    /// The operations at the front that one system call can do together: one, or a run of map entries.
    private func batch(_ operations: ArraySlice<DatapathOperation>) -> ArraySlice<DatapathOperation> {
        let run = operations.prefix { operation in
            switch (operations.first, operation) {
            case (.setLocation(_, .remote), .setLocation(_, .remote)), (.setMember, .setMember): true
            default: false
            }
        }
        return run.isEmpty ? operations.prefix(1) : run.prefix(4096)
    }

    private func perform(
        _ operation: DatapathOperation, _ batch: ArraySlice<DatapathOperation>, _ entries: HostEntries
    ) throws {
        switch operation {
        case .prepareHost(let part, let host): try setting.prepare(part, host)
        case .removeStrayProgram(let interface): try programs.detach(interface: interface)
        case .removeStrayEntry(let interface): try programs.removeEndpoint(interface: interface)
        case .removeEndpoint(let name): try endpoints.remove(hostInterface: name)
        case .createEndpoint(let endpoint, let name): try endpoints.create(endpoint, hostInterface: name)
        case .repairEndpoint(let endpoint, let name): try endpoints.repair(endpoint, hostInterface: name, entries)
        case .removeMember(let member): try tables.remove(member)
        case .setMember:
            try tables.set(batch.compactMap { if case .setMember(let member, let tunnel) = $0 { (member, tunnel) } else { nil } })
        case .removeSubnet(let subnet): try tables.remove(subnet)
        case .setSubnet(let subnet, let vni): try tables.set(subnet, vni)
        case .removeLocation(let address): try tables.remove(address)
        case .removeService(let address): try tables.removeService(address)
        case .setService(let address, let service): try tables.set(address, service)
        case .removePublished(let port): try entrances.withdraw(port)
        case .setPublished(let port, let service): try entrances.publish(port, service)
        case .setLocation(let address, .service): try tables.set(address, .service)
        case .setLocation(let address, .local(let id, let mac, let isBackend, let isHost)):
            let interface = try endpoints.existingInterface(of: id)
            try tables.set(address, .local(interface: interface, mac: mac, isBackend: isBackend, isHost: isHost))
        case .setLocation:
            try tables.set(
                batch.compactMap {
                    guard case .setLocation(let address, .remote(let vtep, let mac, let mtu, let tunnel, let isBackend)) = $0 else {
                        return nil
                    }
                    return (address, .remote(vtep: vtep, mac: mac, mtu: mtu, tunnel: tunnel, isBackend: isBackend))
                })
        }
    }

    /// What passed and what was dropped, of every endpoint here. Nil: the underlay, and interfaces without an endpoint.
    package func counters() throws -> [EndpointID?: EndpointCounters] {
        var counters: [EndpointID?: EndpointCounters] = try programs.counters().reduce(into: [:]) { result, entry in
            let endpoint = endpoints.endpoint(at: entry.key)
            if entry.key == 0 || endpoint != nil { result[endpoint] = entry.value }
        }
        // What a program has given away it cannot count: the device does.
        let unread = try setting.unreadPackets()
        if unread > 0 { counters[nil, default: EndpointCounters()].dropped[.tunnelUnread] = unread }
        return counters
    }

    /// Published ports that another program of this host has, each with a sentence.
    package var portConflicts: [PublishedAt: String] { entrances.conflicts }

    /// The host end's interface index of an endpoint here: who asks when a DNS query comes in on it.
    package func interface(of endpoint: EndpointID) -> UInt32? { endpoints.interface(of: endpoint) }

    /// The resolver has taken all that had arrived, so that what every endpoint may have waiting is its whole share again.
    package func resolverDrained(_ transport: ResolverTransport) {
        // The rounds end by themselves, if later.
        try? programs.beginResolverRound(transport)
    }

    /// The MTU of the interface that has `address`; 1500 if none has.
    package static func underlayMTU(for address: IPv4Address, in namespace: NetworkNamespace = .current) throws -> MTU {
        try HostInterfaces.read(in: namespace).mtu(ofAddress: address) ?? .ethernet
    }
}

/// The data plane cannot be made as it should be.
package struct KernelDatapathError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

extension DatapathOperation {
    fileprivate var isCreation: Bool { if case .createEndpoint = self { true } else { false } }
}
