/// Places of which there is a number, in use by askers: who holds how many.
///
/// An asker has at most `each`. When all are taken, one that holds fewer than another gets a place of that one's: however
/// many askers take all they can get, the next one finds as much as any of them has.
package struct FairShares<Asker: Hashable & Comparable & Sendable>: Sendable {
    package enum Admission: Hashable, Sendable {
        /// The places are the asker's, who gives them back.
        case taken
        /// Nothing was taken: `other` must give a place back first.
        case fullUnlessEndedBy(Asker)
        /// The asker has its share, or no less than everybody else has.
        case refused
    }

    package let total: Int
    package let each: Int
    private var held: [Asker: Int] = [:]
    private var inUse = 0

    package init(total: Int, each: Int) {
        self.total = total
        self.each = each
    }

    package mutating func take(_ count: Int = 1, for asker: Asker) -> Admission {
        let wanted = held[asker, default: 0] + count
        guard wanted <= each, wanted <= total else { return .refused }
        if inUse + count <= total {
            held[asker] = wanted
            inUse += count
            return .taken
        }
        // Of those with equally many, any would do; the order of a dictionary decides nothing.
        guard let most = held.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), most.value > wanted else { return .refused }
        return .fullUnlessEndedBy(most.key)
    }

    package mutating func giveBack(_ count: Int = 1, of asker: Asker) {
        let left = held[asker, default: 0] - count
        held[asker] = left > 0 ? left : nil
        inUse -= count
    }
}
