import Foundation
import WeftModel

/// A directory of its own, removed with it.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "weft-identity-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

extension Instant {
    static var now: Instant { Instant(nanoseconds: Int64(Date.now.timeIntervalSince1970 * 1_000_000_000)) }
}
