package import WeftNet

/// A sandbox's attachment to a network. Made by the node that holds the sandbox, known to all.
package struct Endpoint: StoredValue, AssignedValue {
    package static let kind = StoreKind("endpoint", rank: 50)
    package var audience: Audience { .everyNode }
    /// Those under the kind's own name are the node's own endpoints.
    package static var rows: String? { "known" }

    package let id: EndpointID
    package var version: Version
    package let network: NetworkID
    package let node: NodeID
    package let sandbox: SandboxID
    package let ipv4: IPv4Address
    /// Nil on networks without IPv6.
    package let ipv6: IPv6Address?
    package let mac: MACAddress
    /// The container's or sandbox's name: what PTR answers.
    package var name: String
    /// Further names that resolve to this endpoint on this network, the short id among them.
    package var aliases: [String]
    /// Whose backend it is; nil of what is no service's.
    package var task: ServingTask?

    package init(
        id: EndpointID, version: Version = .none, network: NetworkID, node: NodeID, sandbox: SandboxID,
        ipv4: IPv4Address, ipv6: IPv6Address? = nil, mac: MACAddress, name: String, aliases: [String] = [],
        task: ServingTask? = nil
    ) {
        self.id = id
        self.version = version
        self.network = network
        self.node = node
        self.sandbox = sandbox
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.mac = mac
        self.name = name
        self.aliases = aliases
        self.task = task
    }
}

extension Endpoint {
    /// A name or alias that can be asked for in DNS, whose labels have 1 to 63 octets (RFC 1035, 2.3.4). Engines take any.
    package static func isName(_ text: String) -> Bool {
        text.utf8.count <= 253
            && text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { (1...63).contains($0.count) }
            && text.unicodeScalars.allSatisfy {
                !$0.properties.isWhitespace && $0.properties.generalCategory != .control && $0 != "\\"
            }
    }

    /// The rule in words.
    package static let nameRule = "parts of 1 to 63 characters with dots between them, 253 in all, without spaces"

    /// IPv4's first.
    package var addresses: [IPAddress] { [.v4(ipv4)] + (ipv6.map { [.v6($0)] } ?? []) }
}
