/// A version of the Engine API, the `/v1.NN` in front of a path.
package struct APIVersion: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let major: Int
    package let minor: Int

    package static let newest = APIVersion(major: 1, minor: 41)
    package static let oldest = APIVersion(major: 1, minor: 24)

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads `v1.41`.
    init?(segment: some StringProtocol) {
        guard segment.first == "v" else { return nil }
        let parts = segment.dropFirst().split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2,
            parts.allSatisfy({ (1...4).contains($0.count) && $0.utf8.allSatisfy({ (48...57).contains($0) }) }),
            let major = Int(parts[0]), let minor = Int(parts[1])
        else { return nil }
        self.init(major: major, minor: minor)
    }

    /// Refuses what this server does not speak, in the words that clients show.
    func check(newest: APIVersion = .newest) throws(APIError) {
        if self > newest {
            throw .badRequest("client version \(self) is too new. Maximum supported API version is \(newest)")
        }
        if self < .oldest {
            throw .badRequest(
                "client version \(self) is too old. Minimum supported API version is \(Self.oldest), please upgrade your "
                    + "client to a newer version")
        }
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    package var description: String { "\(major).\(minor)" }
}

/// A request target taken apart: `/v1.41/networks/x?verbose=1`.
package struct RequestTarget: Sendable {
    package let version: APIVersion?
    package let path: [String]
    package let query: Query

    /// Nil when the target is no path or is malformed. A target with scheme and host in front (RFC 9112, 3.2.2) is taken as
    /// one without.
    package init?(_ uri: String) {
        var uri = Substring(uri)
        if let scheme = ["http://", "https://"].first(where: uri.prefix(8).lowercased().hasPrefix) {
            uri = uri.dropFirst(scheme.count).drop { $0 != "/" }
        }
        let halves = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = halves.first, first.hasPrefix("/") else { return nil }
        var segments: [String] = []
        for segment in first.split(separator: "/") {
            guard let text = percentDecoded(segment) else { return nil }
            segments.append(text)
        }
        version = segments.first.flatMap { APIVersion(segment: $0) }
        path = version == nil ? segments : Array(segments.dropFirst())
        query = Query(halves.count > 1 ? halves[1] : "")
    }
}
