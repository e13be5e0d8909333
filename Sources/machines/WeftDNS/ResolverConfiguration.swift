package import WeftNet

/// What a host's `resolv.conf` says about where to ask (resolv.conf(5)).
package struct ResolverConfiguration: Hashable, Sendable {
    /// Numeric addresses in the file's order, each once, an IPv6 one with its zone if it has one (`fe80::1%eth0`).
    package var nameServers: [String]

    /// More are not asked: every query goes to all of them at once.
    package static let nameServersMax = 3

    package init(nameServers: [String] = []) { self.nameServers = nameServers }

    /// Reads a file's text. Lines that cannot be understood are passed over, as the C library does.
    ///
    /// - Parameter own: the resolver's own address. Asking it would ask ourselves, for ever.
    package init(text: String, excluding own: IPv4Address) {
        nameServers = []
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 2, words[0] == "nameserver" else { continue }
            let address = String(words[1])
            guard Self.isNumeric(address), address != own.description, !nameServers.contains(address),
                nameServers.count < Self.nameServersMax
            else { continue }
            nameServers.append(address)
        }
    }

    /// True for an IPv4 address, and for what can only be an IPv6 address: a host name must never be resolved here.
    private static func isNumeric(_ text: String) -> Bool {
        if let address = IPv4Address(text) { return !address.isUnspecified && !address.isMulticast }
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        return parts[0].contains(":") && parts[0].allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
            && (parts.count == 1 || !parts[1].isEmpty)
    }
}
