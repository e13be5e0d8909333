package import WeftNet

/// Searches address space for free prefixes.
package enum PrefixSearch {
    /// The lowest prefix of `length` in `space` that overlaps nothing in `taken` and that `accept` wants; nil without one.
    /// Steps over taken space prefix by prefix, so that a wide space with few taken prefixes costs little.
    package static func firstFree(
        length: Int, in space: IPv4Prefix, avoiding taken: [IPv4Prefix],
        where accept: (IPv4Prefix) -> Bool = { _ in true }
    ) -> IPv4Prefix? {
        guard length >= space.length, length <= 32 else { return nil }
        let step = UInt64(1) << UInt64(32 - length)
        let end = UInt64(space.last.rawValue)
        // Sorted by network, a prefix comes before those inside it.
        let obstacles = taken.filter { $0.overlaps(space) }.sorted()
        var next = 0
        var candidate = UInt64(space.network.rawValue)
        while candidate + step - 1 <= end {
            while next < obstacles.count, UInt64(obstacles[next].last.rawValue) < candidate { next += 1 }
            if next < obstacles.count, UInt64(obstacles[next].network.rawValue) < candidate + step {
                let past = UInt64(obstacles[next].last.rawValue) + 1
                candidate = (past + step - 1) / step * step
                continue
            }
            if let prefix = IPv4Prefix(IPv4Address(rawValue: UInt32(candidate)), length: length), accept(prefix) {
                return prefix
            }
            candidate += step
        }
        return nil
    }

    /// How many prefixes of `length` in `space` overlap nothing in `taken`; stops counting at `limit`.
    package static func countFree(length: Int, in space: IPv4Prefix, avoiding taken: [IPv4Prefix], limit: Int) -> Int {
        var count = 0
        _ = firstFree(length: length, in: space, avoiding: taken) { _ in
            count += 1
            return count >= limit
        }
        return count
    }
}
