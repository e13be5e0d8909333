// What reads bytes that others wrote, one target each. Two things run them: FuzzTests, which damages the samples the same way
// in every run and takes seconds, and scripts/fuzz, which lets libFuzzer look for inputs that reach code not reached before.
// A target reports by `FuzzFinding`; a trap reports itself. It reaches only pure code: no clock, no file, no socket.

/// A property that an input broke.
package struct FuzzFinding: Error, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

package struct FuzzTarget: Sendable {
    package let name: String
    /// Good inputs to begin with.
    package let samples: [[UInt8]]
    /// Takes any input at all. Throws `FuzzFinding` where a property does not hold, and nothing else.
    package let run: @Sendable ([UInt8]) throws(FuzzFinding) -> Void

    package static let all = [
        dnsMessage, dnsAnswer, resolverConfiguration, netlink, addresses, engineJSON, templateJSON, template, logFrame, shimMessages,
        joinToken, hostPort, espPacket, tunnelSegments, tunnelMessages, keyStatement,
    ]

    package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// `what` is to be equal, told by both values where it is not.
func same<Value: Equatable>(_ left: Value, _ right: Value, _ what: String) throws(FuzzFinding) {
    if left != right { throw FuzzFinding("\(what): \(left) and \(right)") }
}
