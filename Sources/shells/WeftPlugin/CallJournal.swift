import WeftFiles
import WeftLinux
package import WeftModel

/// The engine's calls that have no answer yet, with their contents, in files: an engine whose connection ends before the answer makes the
/// same call again, but without the contents, which it has sent already. The next weftd has them here.
package struct CallJournal: Sendable {
    /// A call under way.
    package struct Entry: Hashable, Sendable, Codable {
        /// Names its file.
        package let id: String
        package let method: String
        package let body: String
        package let since: Instant
    }

    /// dockerd gives up after 30 s.
    static let patience: Duration = .seconds(60)

    private let folder: RecordFolder<Entry>
    private let now: @Sendable () -> Instant
    /// Those that a former weftd left without an answer.
    private var left: [Entry]

    /// - Parameter now: a clock that nobody sets, and that does not begin anew with this process.
    package init(directory: String, now: @escaping @Sendable () -> Instant) throws {
        folder = RecordFolder("\(directory)/plugin-calls", survives: .process)
        self.now = now
        left = try folder.load { _ in }
        try dropOld()
    }

    /// Notes a call before anything is done for it. Of one without contents, those of the one call of the method that was left without
    /// an answer are returned; of several nobody knows which it is.
    mutating func begin(_ method: String, _ body: [UInt8]) throws -> Entry? {
        if body.isEmpty { return try takeUp(method) }
        guard body != Array("null".utf8), let text = String(validating: body, as: UTF8.self) else { return nil }
        var random = SystemRandomNumberGenerator()
        let entry = Entry(id: randomText(count: 16, using: &random), method: method, body: text, since: now())
        try folder.save(entry, as: entry.id)
        return entry
    }

    /// The engine has the answer.
    func end(_ entry: Entry) throws { try folder.remove(entry.id) }

    private mutating func takeUp(_ method: String) throws -> Entry? {
        guard !left.isEmpty else { return nil }
        try dropOld()
        let matches = left.filter { $0.method == method }
        guard matches.count == 1, let entry = matches.first else { return nil }
        left.removeAll { $0.id == entry.id }
        return entry
    }

    private mutating func dropOld() throws {
        let time = now()
        // The clocks of two processes may differ a little, in either direction.
        func isOld(_ entry: Entry) -> Bool { time - entry.since > Self.patience || entry.since - time > Self.patience }
        for entry in left where isOld(entry) { try folder.remove(entry.id) }
        left.removeAll(where: isOld)
    }
}
