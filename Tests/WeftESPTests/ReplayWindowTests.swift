import TestSupport
import Testing
import WeftESP

/// By reference: an expectation's operands may not change a value.
private final class Window {
    private var value: ReplayWindow

    init(size: Int) { value = ReplayWindow(size: size) }

    var highest: UInt64 { value.highest }
    func take(_ number: UInt64) -> Bool { value.take(number) }
    func admits(_ number: UInt64) -> Bool { value.admits(number) }
    func extend(_ low: UInt32) -> UInt64? { value.extend(low) }
}

@Suite("A packet is taken once")
struct ReplayWindowTests {
    @Test("A number is taken once, and not when the window has left it behind")
    func onceOnly() {
        let window = Window(size: 64)
        #expect(!window.take(0))
        #expect(window.take(1))
        #expect(!window.take(1))
        #expect(window.take(70))
        #expect(!window.admits(6))
        #expect(window.take(7))
        #expect(!window.take(7))
        #expect(window.take(69))
        #expect(window.highest == 70)
    }

    @Test("A jump over the whole window forgets nothing that still counts")
    func jump() {
        let window = Window(size: 128)
        for number in UInt64(1)...200 { #expect(window.take(number)) }
        #expect(window.take(10_000))
        for number in UInt64(10_000 - 127)..<10_000 { #expect(window.admits(number)) }
        #expect(!window.admits(10_000 - 128))
        #expect(window.take(10_063))
        #expect(window.admits(10_062))
        #expect(!window.admits(10_000))
    }

    @Test("It says what a list of all numbers would say", arguments: 0..<20)
    func asAList(seed: UInt64) {
        var random = SplitMix(state: seed)
        let window = Window(size: 256)
        var taken: Set<UInt64> = []
        var highest: UInt64 = 0
        var base = UInt64.random(in: 1...1 << 33, using: &random)
        for _ in 0..<5000 {
            base &+= UInt64.random(in: 0...(Bool.random(using: &random) ? 3 : 300), using: &random)
            let number = base &- UInt64.random(in: 0...min(base - 1, 400), using: &random)
            let isRight = number != 0 && !taken.contains(number) && (number > highest || highest - number < 256)
            #expect(window.admits(number) == isRight)
            #expect(window.take(number) == isRight)
            if isRight {
                taken.insert(number)
                highest = max(highest, number)
            }
        }
        #expect(window.highest == highest)
    }

    @Test("The upper half is found from the lower one, as far as the window reaches", arguments: [0, 1, 2])
    func upperHalf(turn: UInt64) {
        let window = Window(size: 4096)
        let top = (turn + 1) << 32 + 5
        #expect(window.take(top))
        for distance in [UInt64(0), 1, 5, 6, 100, 4095] {
            #expect(window.extend(UInt32(truncatingIfNeeded: top - distance)) == top - distance)
        }
        for ahead in [UInt64(1), 4096, 1 << 20, 1 << 31] {
            #expect(window.extend(UInt32(truncatingIfNeeded: top + ahead)) == top + ahead)
        }
    }

    @Test("Before the first packet the upper half is 0, and nothing lies below it")
    func atTheBeginning() {
        let window = Window(size: ReplayWindow.standardSize)
        #expect(window.extend(1) == 1)
        #expect(window.extend(UInt32.max) == nil)
        #expect(window.take(1))
        #expect(window.extend(5000) == 5000)
    }
}
