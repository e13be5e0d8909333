package import WeftNet

/// A service's own address on a network, and who answers there.
package struct VirtualService: Hashable, Sendable {
    /// Its address of IPv6; the one of IPv4 is its key.
    package var ipv6: IPv6Address?
    /// Those that new connections go to, ascending by their addresses, each once.
    package private(set) var backends: [Backend]
    /// All connections of a client go to the same one.
    package var isBySource: Bool

    /// An endpoint that serves.
    package struct Backend: Hashable, Sendable, Comparable {
        package var ipv4: IPv4Address
        package var ipv6: IPv6Address?

        package init(ipv4: IPv4Address, ipv6: IPv6Address? = nil) {
            self.ipv4 = ipv4
            self.ipv6 = ipv6
        }

        package static func < (left: Self, right: Self) -> Bool {
            (left.ipv4, left.ipv6?.rawValue ?? 0) < (right.ipv4, right.ipv6?.rawValue ?? 0)
        }
    }

    package init(ipv6: IPv6Address? = nil, backends: some Sequence<Backend> = [], isBySource: Bool = false) {
        self.ipv6 = ipv6
        self.isBySource = isBySource
        // Of two that claim an address, for a moment, one counts: the same on all nodes.
        self.backends = backends.sorted().reduce(into: []) { all, next in
            if all.last?.ipv4 != next.ipv4 { all.append(next) }
        }
    }
}

// MARK: The choice

extension VirtualService {
    /// Places in a table of this many backends are so many that one's share is another's, give or take a hundredth.
    private static let placesPerBackend = 100
    private static let placesMin = 128
    private static let placesMax = 65536

    /// The places among which a connection's hash chooses, a power of two of them, each with the number of its backend; empty without
    /// backends. It follows from the backends' addresses alone, so that every node has the same, and of a table with one backend more
    /// or less most places are as they were.
    ///
    /// As in Maglev (Eisenbud and others, 2016, 3.4): each backend has an order of its own of all places, and they take turns in
    /// taking the first that is free. An odd step reaches every place of a power of two.
    package var places: [UInt16] {
        guard !backends.isEmpty else { return [] }
        var count = Self.placesMin
        while count < min(backends.count * Self.placesPerBackend, Self.placesMax) { count *= 2 }
        let mask = UInt32(count - 1)
        var next = backends.map { Self.hash($0.ipv4.rawValue, seed: 0x5bd1_e995) & mask }
        let steps = backends.map { Self.hash($0.ipv4.rawValue, seed: 0x9747_b28c) & mask | 1 }
        var places = [UInt16](repeating: .max, count: count)
        var isTaken = [Bool](repeating: false, count: count)
        var taken = 0
        while taken < count {
            for index in backends.indices where taken < count {
                while isTaken[Int(next[index])] { next[index] = (next[index] &+ steps[index]) & mask }
                places[Int(next[index])] = UInt16(truncatingIfNeeded: index)
                isTaken[Int(next[index])] = true
                taken += 1
            }
        }
        return places
    }

    /// The finaliser of MurmurHash3: every bit of a number counts in every bit of the result.
    private static func hash(_ number: UInt32, seed: UInt32) -> UInt32 {
        var hash = number ^ seed
        hash = (hash ^ hash >> 16) &* 0x85eb_ca6b
        hash = (hash ^ hash >> 13) &* 0xc2b2_ae35
        return hash ^ hash >> 16
    }
}
