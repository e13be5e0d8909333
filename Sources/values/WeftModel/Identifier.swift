/// Marks what an identifier identifies; never instantiated.
package protocol Identified {}
package enum ClusterTag: Identified {}
package enum NodeTag: Identified {}
package enum NetworkTag: Identified {}
package enum EndpointTag: Identified {}
package enum SandboxTag: Identified {}

/// An opaque identifier, distinct in type for each kind of object. Compared and sorted as text.
package struct Identifier<Tag: Identified>: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    package let rawValue: String

    package init(_ rawValue: String) { self.rawValue = rawValue }

    /// Draws a new identifier as Swarm writes them: 25 characters of base 36, about 129 bits.
    package static func random(using generator: inout some RandomNumberGenerator) -> Self {
        Self(randomText(count: 25, using: &generator))
    }

    package init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    package var description: String { rawValue }
}

package typealias ClusterID = Identifier<ClusterTag>
package typealias NodeID = Identifier<NodeTag>
package typealias NetworkID = Identifier<NetworkTag>
package typealias EndpointID = Identifier<EndpointTag>
package typealias SandboxID = Identifier<SandboxTag>

extension SandboxID {
    /// What a node's own endpoint on the ingress network is in: the host itself. The engine's word for it.
    package static let hostIngress = SandboxID("ingress-sbox")
}

/// `count` characters of `0-9a-z`, uniformly drawn.
package func randomText(count: Int, using generator: inout some RandomNumberGenerator) -> String {
    let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    return String((0..<count).map { _ in alphabet[Int.random(in: 0..<36, using: &generator)] })
}

/// The store's revision at which an object last changed. `?version=` of the API repeats it.
package struct Version: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    package let index: Int64
    package init(_ index: Int64) { self.index = index }
    package static let none = Version(0)

    package init(from decoder: any Decoder) throws {
        index = try decoder.singleValueContainer().decode(Int64.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(index)
    }

    package static func < (left: Self, right: Self) -> Bool { left.index < right.index }
    package var description: String { String(index) }
}
