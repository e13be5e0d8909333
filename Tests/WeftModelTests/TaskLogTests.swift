import Testing
import WeftModel

@Suite struct LogPositionTests {
    private static func line(_ time: Int64, _ text: String) -> LogLine {
        LogLine(time: Instant(nanoseconds: time), isError: false, bytes: Array(text.utf8))
    }

    @Test func `a reading that broke off goes on behind the last line, also among lines of one time`() {
        var options = LogOptions()
        (options.follows, options.tail) = (true, 2)
        var position = LogPosition(options)
        position.begin()
        #expect(position.options == options && position.isAtStart)
        let all = [Self.line(1, "a"), Self.line(2, "b"), Self.line(2, "c"), Self.line(2, "d"), Self.line(3, "e")]
        #expect(position.take(Array(all[..<1])) == [all[0]])
        #expect(position.take(Array(all[1..<3])) == [all[1], all[2]])
        // From the last time on all comes again, whatever the number of lines that was asked for first.
        #expect(position.options.since == Instant(nanoseconds: 2) && position.options.tail == nil && position.options.follows)
        position.begin()
        #expect(position.take([all[1]]).isEmpty)
        #expect(position.take(Array(all[2...])) == [all[3], all[4]])
        position.begin()
        #expect(position.take([all[4]]).isEmpty && position.settled == position)
    }

    @Test func `lines that are there no more are not waited for`() {
        var position = LogPosition(LogOptions())
        position.begin()
        _ = position.take([Self.line(1, "a"), Self.line(1, "b")])
        position.begin()
        #expect(position.take([Self.line(5, "x"), Self.line(1, "odd")]).count == 2)
    }
}

@Test(arguments: [
    ("1970-01-01T00:00:00Z", 0), ("2026-11-21T09:47:23.122615443Z", 1_795_254_443_122_615_443),
    ("2026-11-21T09:47:23.5Z", 1_795_254_443_500_000_000), ("2026-11-21T11:47:23.1226154439+02:00", 1_795_254_443_122_615_443),
    ("2000-02-29T23:59:59-00:30", 951_870_599_000_000_000), ("1969-12-31T23:59:59.999999999Z", -1),
])
func `a time is read as it is written`(text: String, nanoseconds: Int64) {
    #expect(Instant(rfc3339: text) == Instant(nanoseconds: nanoseconds))
}

@Test(arguments: [
    "", "2026-11-21", "2026-11-21T09:47:23", "2026-13-21T09:47:23Z", "2026-11-21 is no time at all", "9999-11-21T09:47:23Z",
    "2026-11-21T09:47:23.5", "2026-11-21T09:47:23+0200", "٢٠٢٦-11-21T09:47:23Z",
])
func `what is no time is none`(text: String) { #expect(Instant(rfc3339: text) == nil) }
