internal import WeftBPF
package import WeftLinux
internal import WeftNet
internal import WeftWire

extension KernelDatapath {
    /// Removes everything Weft made in the host's kernel; traffic of the overlay ends. IP forwarding stays on, as others may rely on it.
    /// Goes on after failures, and then throws the first. Removes nothing if another process uses the pin directory.
    package static func teardown(pinDirectory: String, namespace: NetworkNamespace = .current) throws {
        let lock = try lockPins(pinDirectory)
        defer { withExtendedLifetime(lock) {} }
        var firstError: (any Error)?
        func attempt(_ body: () throws -> Void) {
            do { try body() } catch { firstError = firstError ?? error }
        }
        let netlink = try NetlinkSocket.open(in: namespace)
        attempt {
            for link in try netlink.dump(.dumpLinks(), "list interfaces", { LinkMessage($0) })
            where isHostEnd(link) || [vxlanName, tunnelName].contains(link.name) {
                try netlink.remove(.deleteLink(index: link.index), "remove interface \(link.name)")
            }
        }
        attempt { try DatapathPrograms.removeAll(pinDirectory: pinDirectory, namespace: namespace) }
        attempt {
            try netlink.remove(.deleteRule(routingRule), "remove the routing rule of the endpoints")
        }
        attempt {
            let loopback = try netlink.get(.getLink(name: "lo"), "find interface lo") { LinkMessage($0) }
            let address = AddressMessage(interface: loopback.index, address: resolverAddress, prefixLength: 32)
            try netlink.remove(.deleteAddress(address), "take \(resolverAddress) from lo")
        }
        attempt { try FirewallTable(in: namespace).remove() }
        attempt { try PublishedPorts(in: namespace).remove() }
        if let firstError { throw firstError }
    }
}
