import Testing
import WeftDNS

@Suite struct FairSharesTests {
    @Test func `an asker has at most its share`() {
        var shares = FairShares<String>(total: 10, each: 3)
        #expect(shares.take(2, for: "a") == .taken)
        #expect(shares.take(2, for: "a") == .refused)
        #expect(shares.take(for: "a") == .taken)
        #expect(shares.take(for: "a") == .refused)
        #expect(shares.take(3, for: "b") == .taken)
        shares.giveBack(2, of: "a")
        #expect(shares.take(2, for: "a") == .taken)
        #expect(shares.take(4, for: "c") == .refused)
    }

    @Test func `when all are taken, who has most makes room for who has less`() {
        var shares = FairShares<String>(total: 10, each: 8)
        #expect(shares.take(7, for: "a") == .taken)
        #expect(shares.take(3, for: "b") == .taken)
        for _ in 0..<2 {
            #expect(shares.take(2, for: "c") == .fullUnlessEndedBy("a"))
            shares.giveBack(of: "a")
        }
        #expect(shares.take(2, for: "c") == .taken)
        // Five, three and two: the third one more, and nobody else.
        #expect(shares.take(for: "c") == .fullUnlessEndedBy("a"))
        shares.giveBack(of: "a")
        #expect(shares.take(for: "c") == .taken)
        for asker in ["a", "b", "c"] { #expect(shares.take(for: asker) == .refused) }
    }

    @Test func `who gives all back is forgotten`() {
        var shares = FairShares<Int>(total: 2, each: 2)
        for asker in 0..<1000 {
            #expect(shares.take(2, for: asker) == .taken)
            shares.giveBack(2, of: asker)
        }
        #expect(shares.take(2, for: 0) == .taken)
    }
}
