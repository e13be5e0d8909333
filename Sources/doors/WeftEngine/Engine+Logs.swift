import NIOCore
import NIOHTTP1
package import WeftModel
import WeftText

extension Engine {
    /// Hands over what a container wrote, as it comes; returns at its end. Throws `EngineError`, `LogFrames.Broken`, and what `take`
    /// throws, if that is no error of a connection.
    ///
    /// - Parameter hasTerminal: its output is one stream.
    package func readLog(
        of container: String, hasTerminal: Bool, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        var frames = LogFrames(isRaw: hasTerminal, hasDetails: options.hasDetails)
        var refusal: [UInt8] = []
        let uri = "/containers/\(container.percentEncoded)/logs?\(Self.query(options))"
        let head = try await client.stream(.GET, uri) { head, chunk in
            guard head.status == .ok else {
                // A sentence; what is longer is none.
                if refusal.count < 64 << 10 { refusal += chunk.readableBytesView }
                return
            }
            let lines = try frames.take(chunk)
            if !lines.isEmpty { try await take(lines) }
        }
        guard head.status == .ok else {
            var reason = String(decoding: refusal.prefix(1024), as: UTF8.self)
            if case .string(let message)? = (try? JSON(parsing: refusal))?["message"] { reason = message }
            throw EngineError.refused(status: Int(head.status.code), message: reason)
        }
        let rest = frames.rest()
        if !rest.isEmpty { try await take(rest) }
    }

    /// Times are always asked for: they tell where a line's own text begins.
    private static func query(_ options: LogOptions) -> String {
        var query = "stdout=\(options.hasOutput ? 1 : 0)&stderr=\(options.hasErrorOutput ? 1 : 0)&timestamps=1"
        if options.hasDetails { query += "&details=1" }
        if options.follows { query += "&follow=1" }
        if let since = options.since, since.nanoseconds >= 0 {
            let fraction = String(since.nanoseconds % 1_000_000_000)
            query += "&since=\(since.nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 9 - fraction.count) + fraction
        }
        if let tail = options.tail { query += "&tail=\(tail)" }
        return query
    }
}
