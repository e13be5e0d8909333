package import WeftNet

/// How large things may be: checked where they are given, and taken by everything behind that.
package enum Bounds {
    /// An object's id, a container runtime's for its container among them.
    package static let idBytes = 128
    /// An id that is put together of others', as a lease's of its network's and its block.
    package static let compoundIDBytes = 512
    /// A container's, sandbox's or host's name.
    package static let nameBytes = 255
    /// What an operator says about one object, its labels above all: what etcd takes for one value, and swarm therefore too.
    package static let specBytes = 1 << 20
    /// An endpoint's aliases, all of them.
    package static let aliasesBytes = 64 << 10
    /// Routes of a host that are kept from overlay pools.
    package static let routesMax = 16_384

    package static func isID(_ text: String) -> Bool {
        (1...idBytes).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    /// A name that DNS shall answer: Docker's characters, and no longer than a label (RFC 1035, 2.3.4).
    package static func isName(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.enumerated().allSatisfy { index, byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    true
                case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): index > 0
                default: false
                }
            }
    }

    package static func bytes(_ texts: [String: String]) -> Int {
        texts.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    }
}

extension NodeDescription {
    /// Routes as they are reported: those inside of others say nothing more, and of more than can be kept the widest count.
    /// The default route covers nothing.
    package static func reported(routes: some Sequence<IPv4Prefix>) -> [IPv4Prefix] {
        var result: [IPv4Prefix] = []
        var cover: IPv4Prefix?
        for route in routes.sorted(by: { ($0.network, $0.length) < ($1.network, $1.length) }) where cover?.contains(route) != true {
            result.append(route)
            if route.length > 0 { cover = route }
        }
        guard result.count > Bounds.routesMax else { return result.sorted() }
        return result.sorted { ($0.length, $0.network) < ($1.length, $1.network) }.prefix(Bounds.routesMax).sorted()
    }
}

extension NetworkSpec {
    /// Roughly what it takes to keep or send it.
    package var sizeBytes: Int {
        let auxiliaries =
            [ipam.auxiliaryAddresses.keys.reduce(0) { $0 + $1.utf8.count + 16 }]
            + [ipam6?.auxiliaryAddresses.keys.reduce(0) { $0 + $1.utf8.count + 32 } ?? 0]
        return name.utf8.count + Bounds.bytes(labels) + Bounds.bytes(options) + auxiliaries.reduce(0, +)
    }
}

extension Endpoint {
    package var sizeBytes: Int {
        let ids = [id.rawValue, network.rawValue, node.rawValue, sandbox.rawValue, name].reduce(0) { $0 + $1.utf8.count }
        return ids + aliases.reduce(0) { $0 + $1.utf8.count + 3 } + 64
    }
}
