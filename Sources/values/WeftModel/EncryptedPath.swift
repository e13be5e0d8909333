package import WeftNet

/// What keeps packets of encrypted networks from getting from a node to another, as the questions show that their tunnels ask each other.
package enum PathFault: String, Hashable, Sendable, Codable {
    /// Nothing of the other comes, and it answers nothing.
    case silent
    /// The other's questions come, this node's are not answered.
    case unheard
    /// Short questions are answered, those of the full length are not.
    case large

    /// What is wrong and what to do, as the end of a sentence about the other node.
    ///
    /// - Parameters:
    ///   - length: octets of an IP packet on the underlay at the full length.
    package func sentence(port: UInt16, length: UInt16) -> String {
        switch self {
        case .silent:
            "no encrypted packet gets there and back: open UDP port \(port) between the two hosts, in both directions"
        case .unheard:
            "its encrypted packets come, those of this node do not get there: let UDP port \(port) out of this host and into that one"
        case .large:
            "packets of \(length) octets are lost on the way and short ones are not: the path's MTU is less than that of the hosts' "
                + "interfaces; raise it, or lower theirs"
        }
    }
}

/// A peer that a node cannot reach as it should, on the encrypted path. Nodes tell it to the managers.
package struct PathCondition: Hashable, Sendable, Codable {
    package let peer: NodeID
    package var fault: PathFault
    /// Where the peer should hear encrypted packets.
    package var port: UInt16
    /// Octets of an IP packet on the underlay at the full length.
    package var length: UInt16

    package init(peer: NodeID, fault: PathFault, port: UInt16, length: UInt16) {
        self.peer = peer
        self.fault = fault
        self.port = port
        self.length = length
    }

    package var sentence: String { fault.sentence(port: port, length: length) }

    /// More a node does not tell: then it is the node that is wrong.
    package static let told = 32
}

/// A node's way to a peer beneath the overlay.
package struct UnderlayPath: Hashable, Sendable {
    /// The lesser of the two ends'.
    package var mtu: MTU
    /// The managers hear from the peer.
    package var isUp: Bool

    package init(mtu: MTU, isUp: Bool) {
        self.mtu = mtu
        self.isUp = isUp
    }
}
