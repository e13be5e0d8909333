// The protected data path without a socket: ESP's framing (RFC 4303, RFC 4106, RFC 3948), its replay window, large packets
// cut into segments and put together again. Works on memory that others own; bounds are checked before anything is touched, as
// what comes may be from a peer that means no good.

/// Which sequence numbers of a security association have been taken, for extended sequence numbers (RFC 4303, 2.2.1 and appendix A2).
///
/// It moves for authenticated packets alone: `extend` and `admits` say what a packet would be, `take` is called once its tag was found right.
public struct ReplayWindow: Sendable {
    /// How far behind the highest number a packet may be: a power of two, 64 at least.
    public let size: Int
    /// The highest number taken; 0 before the first packet.
    public private(set) var highest: UInt64 = 0
    /// A ring of one bit a number.
    private var taken: [UInt64]

    /// 4,096: a network card with many queues reorders by hundreds.
    public static let standardSize = 4096

    /// - Parameter size: rounded up to a power of two, from 64 to 65,536.
    public init(size: Int = standardSize) {
        var rounded = 64
        while rounded < min(size, 65536) { rounded *= 2 }
        self.size = rounded
        taken = [UInt64](repeating: 0, count: rounded / 64)
    }

    /// The whole number of which a packet shows the lower half; nil if it would lie before the first.
    public func extend(_ low: UInt32) -> UInt64? {
        let top = highest >> 32
        let lower = UInt32(truncatingIfNeeded: highest)
        // The lower half of the window's left edge, wrapped as the packet's is.
        let edge = lower &- UInt32(size - 1)
        let upper: UInt64
        if lower >= UInt32(size - 1) {
            upper = low >= edge ? top : top &+ 1
            // The window cannot go past the last number: another key comes before.
            if low < edge && top == UInt64(UInt32.max) { return nil }
        } else if low >= edge {
            guard top > 0 else { return nil }
            upper = top - 1
        } else {
            upper = top
        }
        return upper << 32 | UInt64(low)
    }

    /// Whether the number is neither taken nor too old. 0 is never sent (RFC 4303, 3.3.3).
    public func admits(_ number: UInt64) -> Bool {
        guard number != 0 else { return false }
        if number > highest { return true }
        guard highest - number < UInt64(size) else { return false }
        let place = place(of: number)
        return taken[place.word] & place.bit == 0
    }

    /// Takes the number of an authenticated packet; false if it must not be taken (again).
    public mutating func take(_ number: UInt64) -> Bool {
        guard admits(number) else { return false }
        if number > highest {
            forget(from: highest &+ 1, through: number)
            highest = number
        }
        let place = place(of: number)
        taken[place.word] |= place.bit
        return true
    }

    private func place(of number: UInt64) -> (word: Int, bit: UInt64) {
        let index = Int(number & UInt64(size - 1))
        return (index >> 6, 1 << UInt64(index & 63))
    }

    /// Clears what the ring holds of numbers that these take the places of.
    private mutating func forget(from first: UInt64, through last: UInt64) {
        if last - first >= UInt64(size - 1) {
            for index in taken.indices { taken[index] = 0 }
            return
        }
        var number = first
        while number <= last {
            let place = place(of: number)
            if place.bit == 1 && last - number >= 63 {
                taken[place.word] = 0
                number += 64
            } else {
                taken[place.word] &= ~place.bit
                number += 1
            }
        }
    }
}
