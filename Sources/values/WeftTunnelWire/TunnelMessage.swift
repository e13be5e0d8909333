// What weftd says to the process that encrypts, and what that answers: one message a datagram, over a unix socket that keeps their borders.
// Numbers are big-endian; the keys go this way and no other.

/// The form of the frames on the tunnel's device (`weft_tunnel_frame`). A process that was started for another one is of no use to the programs.
package enum TunnelFrames { package static let form: UInt16 = 2 }

/// A change of the tunnel's keys, or a question.
package enum TunnelRequest: Equatable, Sendable {
    /// What is sent to a peer from now on; `association` nil: nothing.
    case send(peer: UInt32, association: OutboundAssociation?)
    /// What may come from a peer as well.
    case receive(InboundAssociation)
    /// What comes under the SPI is refused from now on.
    case refuse(spi: UInt32)
    case status
    /// A question to a peer's tunnel, as long as a packet of `length` octets. Numbers grow from one to the next.
    case probe(peer: UInt32, number: UInt64, length: UInt16)
    /// What came of the questions.
    case probes

    /// Longest request in bytes.
    package static let sizeMax = 128
}

/// What is sent to a peer under.
package struct OutboundAssociation: Equatable, Sendable {
    package var spi: UInt32
    /// Where to on the underlay, in the machine's order.
    package var address: UInt32
    package var port: UInt16
    /// The number sent last under the same key: 0 for one that is new.
    package var lastSequence: UInt64
    /// AES key of 16 or 32 bytes and the salt of 4 (RFC 4106, section 8.1).
    package var material: [UInt8]

    package init(spi: UInt32, address: UInt32, port: UInt16, lastSequence: UInt64 = 0, material: [UInt8]) {
        self.spi = spi
        self.address = address
        self.port = port
        self.lastSequence = lastSequence
        self.material = material
    }
}

/// What is taken from a peer under.
package struct InboundAssociation: Equatable, Sendable {
    package var spi: UInt32
    /// The data-path address that the programs know the peer by.
    package var peer: UInt32
    package var material: [UInt8]

    package init(spi: UInt32, peer: UInt32, material: [UInt8]) {
        self.spi = spi
        self.peer = peer
        self.material = material
    }
}

/// What became of a packet: what the tunnel counts, in the order in which it tells the numbers.
package enum TunnelEvent: Int, CaseIterable, Sendable {
    case sent, received
    /// No key to send to the peer under.
    case noKey
    /// What the device gave cannot be made packets of.
    case malformed
    /// The key has no more numbers.
    case exhausted
    /// The underlay did not take them.
    case unsent
    /// Came under an SPI that is nobody's.
    case unknownAssociation
    case replayed
    case forged
    /// Authentic, and not what is sent here; or it cannot bear the congestion mark.
    case unacceptable
    /// The device did not take them.
    case undelivered
}

/// What there is of a tunnel's keys and packets.
package struct TunnelStatus: Equatable, Sendable {
    package struct Outbound: Equatable, Sendable {
        package var peer: UInt32
        package var spi: UInt32
        /// The number that was given out last.
        package var lastSequence: UInt64

        package init(peer: UInt32, spi: UInt32, lastSequence: UInt64) {
            self.peer = peer
            self.spi = spi
            self.lastSequence = lastSequence
        }
    }

    package struct Inbound: Equatable, Sendable {
        package var spi: UInt32
        package var peer: UInt32
        /// The highest number that came; 0: nothing yet.
        package var highestSequence: UInt64

        package init(spi: UInt32, peer: UInt32, highestSequence: UInt64) {
            self.spi = spi
            self.peer = peer
            self.highestSequence = highestSequence
        }
    }

    /// Packets by what became of them, in the order of `TunnelEvent`.
    package var counts: [UInt64]
    package var outbound: [Outbound]
    package var inbound: [Inbound]

    package init(counts: [UInt64], outbound: [Outbound], inbound: [Inbound]) {
        self.counts = counts
        self.outbound = outbound
        self.inbound = inbound
    }
}

/// What came of the questions to a peer's tunnel, and of its own.
package struct TunnelProbeResult: Equatable, Sendable {
    package var peer: UInt32
    /// The highest number that it answered; 0: none.
    package var answered: UInt64
    /// How long that answer took.
    package var roundTripMicroseconds: UInt32
    /// Questions of its own that came.
    package var heard: UInt64

    package init(peer: UInt32, answered: UInt64 = 0, roundTripMicroseconds: UInt32 = 0, heard: UInt64 = 0) {
        self.peer = peer
        self.answered = answered
        self.roundTripMicroseconds = roundTripMicroseconds
        self.heard = heard
    }
}

package enum TunnelReply: Equatable, Sendable {
    case done
    case refused(String)
    case status(TunnelStatus)
    case probes([TunnelProbeResult])

    /// Longest reply in bytes: 4,096 peers in both directions.
    package static let sizeMax = 192 * 1024
}
