package import WeftWire

/// BPF programs at the ingress of a network namespace's interfaces, by traffic control: each is a filter of the interface's clsact
/// queueing discipline, which holds it until the interface goes.
package struct IngressFilters: Sendable {
    private let netlink: NetlinkSocket

    package init(in namespace: NetworkNamespace) throws { netlink = try NetlinkSocket.open(in: namespace) }

    /// The filters of every interface, but those of `excluded`, that have this priority and handle. Each interface is asked by itself.
    package func all(
        priority: UInt16, handle: UInt32, except excluded: Set<UInt32> = []
    ) throws(SystemError) -> [FilterMessage] {
        var found: [FilterMessage] = []
        for link in try netlink.dump(.dumpLinks(), "list interfaces", { LinkMessage($0) }) where !excluded.contains(link.index) {
            found += try filters(of: link.index).filter { $0.priority == priority && $0.handle == handle }
        }
        return found
    }

    /// The BPF filters of an interface; none if there is no such interface.
    package func filters(of interface: UInt32) throws(SystemError) -> [FilterMessage] {
        do throws(SystemError) {
            return try netlink.dump(.dumpFilters(interface: interface, at: .ingress), "list filters") { FilterMessage($0) }
        } catch {
            guard error.isNotFound else { throw error }
            return []
        }
    }

    /// Puts a program at an interface, in the place of the one with the same priority and handle if there is one.
    package func put(_ filter: FilterMessage, program: Int32) throws(SystemError) {
        let operation = "attach \(filter.name) to interface \(filter.interface)"
        try netlink.create(.addClsact(interface: filter.interface), operation)
        try netlink.change(.putFilter(filter, program: program, mayCreate: true), operation)
    }

    /// Puts a program in the place of another; false if there is none, or no such interface.
    package func replace(_ filter: FilterMessage, program: Int32) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try netlink.change(
                .putFilter(filter, program: program, mayCreate: false),
                "update \(filter.name) at interface \(filter.interface)")
            return true
        } catch {
            guard error.isNotFound || error.isInvalid else { throw error }
            return false
        }
    }

    /// Takes a filter away, and with the last of the interface its clsact.
    package func remove(_ filter: FilterMessage) throws(SystemError) {
        let interface = filter.interface
        try netlink.remove(.deleteFilter(filter), "take \(filter.name) off interface \(interface)")
        for hook in FilterHook.allCases {
            let rest = try netlink.dump(.dumpFilters(interface: interface, at: hook), "list filters") { $0 }
            guard rest.isEmpty else { return }
        }
        try netlink.remove(.deleteClsact(interface: interface), "remove clsact of interface \(interface)")
    }
}
