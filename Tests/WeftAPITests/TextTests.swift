import Testing
import WeftAPI
import WeftModel
import WeftText

@Suite struct TextTests {
    @Test func `what is not JSON is a client's mistake`() {
        #expect(throws: APIError.badRequest("not JSON: a comma or ] is expected (at byte 2)")) { try JSON.parse(Array("[1".utf8)) }
    }

    @Test func `times are written as Go writes them`() {
        #expect(Instant(nanoseconds: 0).rfc3339 == "1970-01-01T00:00:00Z")
        #expect(Instant(nanoseconds: 1_795_254_443_122_615_443).rfc3339 == "2026-11-21T09:47:23.122615443Z")
        #expect(Instant(nanoseconds: 951_782_400_500_000_000).rfc3339 == "2000-02-29T00:00:00.5Z")
        #expect(Instant(nanoseconds: -1).rfc3339 == "1969-12-31T23:59:59.999999999Z")
        #expect(Instant(nanoseconds: .min).rfc3339 == "1677-09-21T00:12:43.145224192Z")
        #expect(Instant(nanoseconds: .max).rfc3339 == "2262-04-11T23:47:16.854775807Z")
    }
}
