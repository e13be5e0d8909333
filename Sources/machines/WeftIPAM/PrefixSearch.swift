package import WeftNet

/// Searches address space for free prefixes.
package enum PrefixSearch {
    /// The lowest prefix of `length` in `space` that overlaps nothing in `taken` and that `accept` wants; nil without one.
    /// Steps over taken space prefix by prefix, so that a wide space with few taken prefixes costs little.
    package static func firstFree(
        length: Int, in space: AnyIPPrefix, avoiding taken: [AnyIPPrefix],
        where accept: (AnyIPPrefix) -> Bool = { _ in true }
    ) -> AnyIPPrefix? {
        guard length >= space.length, length <= space.width else { return nil }
        // Sorted by network, a prefix comes before those inside it.
        let obstacles = taken.filter { $0.overlaps(space) }.sorted()
        var next = 0
        var candidate = AnyIPPrefix(space.network, length: length)
        while let prefix = candidate {
            while next < obstacles.count, obstacles[next].last < prefix.network { next += 1 }
            var last = prefix.last
            if next < obstacles.count, obstacles[next].network <= last {
                last = max(last, obstacles[next].last)
            } else if accept(prefix) {
                return prefix
            }
            // Of two prefixes that overlap one holds the other: behind the wider one, another of `length` begins.
            candidate = last < space.last ? last.advanced(by: 1).flatMap { AnyIPPrefix($0, length: length) } : nil
        }
        return nil
    }

    /// How many prefixes of `length` in `space` overlap nothing in `taken`; stops counting at `limit`.
    package static func countFree(length: Int, in space: AnyIPPrefix, avoiding taken: [AnyIPPrefix], limit: Int) -> Int {
        var count = 0
        _ = firstFree(length: length, in: space, avoiding: taken) { _ in
            count += 1
            return count >= limit
        }
        return count
    }
}
