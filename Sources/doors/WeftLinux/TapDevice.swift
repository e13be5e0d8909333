internal import CLinux

/// A TAP: an interface behind which a process sits.
package enum TapDevice {
    /// Makes one that stays without a process, with virtio headers and any number of queues.
    package static func make(_ name: String, in namespace: NetworkNamespace) throws {
        try namespace.run {
            guard clx_make_tap(name) == 0 else { throw SystemError.last("make the interface \(name)") }
        }
    }
}
