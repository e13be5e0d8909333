import FoundationEssentials
package import Logging
package import NIOCore
import WeftDNS
package import WeftNet

/// Says which resolvers to ask, and notices when the host's `resolv.conf` changes.
package struct UpstreamSource: Sendable {
    /// How often the file's date is looked at, at most.
    private static let checkInterval = TimeAmount.seconds(1)

    private let path: String?
    private let own: IPv4Address
    private let logger: Logger
    private var addresses: [SocketAddress] = []
    private var stamp: Stamp?
    private var nextCheck = NIODeadline.distantPast

    /// Date and size: what tells one content of the file from the next.
    private struct Stamp: Equatable {
        var modified: Date?
        var size: UInt64?
    }

    package init(_ upstreams: DNSServer.Upstreams, excluding own: IPv4Address, logger: Logger) {
        self.own = own
        self.logger = logger
        switch upstreams {
        case .file(let path): self.path = path
        case .fixed(let addresses):
            path = nil
            self.addresses = addresses
        }
    }

    /// The resolvers to ask now. Reads a small local file now and then.
    package mutating func current(now: NIODeadline) -> [SocketAddress] {
        guard let path, now >= nextCheck else { return addresses }
        nextCheck = now + Self.checkInterval
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        let stamp = Stamp(
            modified: attributes?[.modificationDate] as? Date, size: attributes?[.size] as? UInt64)
        guard stamp != self.stamp else { return addresses }
        self.stamp = stamp
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        let found = ResolverConfiguration(text: text, excluding: own).nameServers.compactMap { Self.address($0) }
        if found != addresses || found.isEmpty {
            addresses = found
            logger.log(
                level: found.isEmpty ? .warning : .info, "upstream resolvers read",
                metadata: ["file": "\(path)", "servers": "\(found.map(\.description))"])
        }
        return addresses
    }

    /// The text is numeric, which the parser has seen to: the C library only translates a zone's name.
    private static func address(_ text: String) -> SocketAddress? {
        try? text.contains("%")
            ? SocketAddress.makeAddressResolvingHost(text, port: 53) : SocketAddress(ipAddress: text, port: 53)
    }
}
