internal import Synchronization
package import WeftTunnelWire

/// What became of packets, counted by all threads of the tunnel.
package final class Counters: Sendable {
    package typealias Event = TunnelEvent

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
