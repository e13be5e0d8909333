import CBPF

/// A verified program in the kernel.
package final class BPFProgram: Sendable {
    package let name: String
    /// Where the kernel takes it, by the section of its source.
    let attachType: UInt32
    private let descriptor: Descriptor

    init(name: String, attachType: UInt32, descriptor: consuming Descriptor) {
        self.name = name
        self.attachType = attachType
        self.descriptor = descriptor
    }

    /// Its descriptor, open as long as this object is.
    var number: Int32 { descriptor.rawValue }

    /// What a program did to a packet that it was given.
    package struct TestRun: Sendable, Hashable {
        /// −1 next, 0 pass, 2 drop, 7 redirect.
        package let action: Int32
        /// The packet as the program left it, with its Ethernet header.
        package let packet: [UInt8]

        package init(action: Int32, packet: [UInt8]) {
            self.action = action
            self.packet = packet
        }
    }

    /// Runs a program of an interface once over a packet as if it came in at the loopback interface (index 1), without sending anything on.
    package func testRun(packet: [UInt8]) throws(BPFError) -> TestRun {
        var output = [UInt8](repeating: 0, count: packet.count + 256)
        var length = UInt32(output.count)
        var action: Int32 = 0
        try call("run \(name)") { cbpf_test_run(number, packet, UInt32(packet.count), &output, &length, &action) }
        return TestRun(action: action, packet: Array(output.prefix(Int(length))))
    }
}
