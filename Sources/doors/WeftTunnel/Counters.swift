internal import Synchronization

/// What became of packets, counted by all threads of the tunnel.
package final class Counters: Sendable {
    package enum Event: Int, CaseIterable, Sendable {
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

    private let counts: [Counter] = Event.allCases.map { _ in Counter() }

    private final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
    }

    package init() {}

    func add(_ event: Event, _ count: Int = 1) {
        if count > 0 { counts[event.rawValue].value.wrappingAdd(UInt64(count), ordering: .relaxed) }
    }

    package subscript(event: Event) -> UInt64 { counts[event.rawValue].value.load(ordering: .relaxed) }
}
