// The encrypted way between nodes: what the programs in the kernel hand to a device is encrypted and sent by UDP, and the other way
// round. Threads of its own, which wait in the kernel; nothing here is called by others but to change the keys.
internal import CTunnel
internal import Glibc
package import WeftLinux

/// One queue of the tunnel's TAP device.
package struct TunnelQueue: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor

    /// Opens a queue of the device, and makes the device if there is none.
    /// - Parameters:
    ///   - name: of the interface.
    ///   - keeps: the device stays when nobody holds it any more, with the program at it.
    package init(_ name: String, keeps: Bool) throws(SystemError) {
        let tap = ctn_tap_open(name, keeps ? 1 : 0)
        guard tap >= 0 else { throw .last("open the tunnel's device \(name)") }
        let descriptor = OwnedDescriptor(owning: tap)
        guard ctn_tap_offload(tap) == 0 else { throw .last("have packets of \(name) unsegmented") }
        self.descriptor = descriptor
    }
}

/// A UDP socket of the tunnel.
package struct TunnelSocket: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor

    /// - Parameters:
    ///   - address: of this node on the underlay, in the machine's order.
    ///   - shares: one of several on the port.
    package init(address: UInt32, port: UInt16, shares: Bool) throws(SystemError) {
        let socket = ctn_udp_open(address.bigEndian, port.bigEndian, shares ? 1 : 0)
        guard socket >= 0 else {
            let error = SystemError.last("have UDP port \(port)")
            throw error.isPortTaken ? SystemError(error.operation, code: error.code, detail: PortHolder.words(port)) : error
        }
        descriptor = OwnedDescriptor(owning: socket)
    }
}
