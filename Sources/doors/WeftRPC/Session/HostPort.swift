internal import WeftNet

/// Where a manager listens.
package struct HostPort: Sendable, Hashable, CustomStringConvertible {
    /// An IPv4 address or a name.
    package let host: String
    package let port: Int

    package static let defaultPort = 2377

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host` or `host:port`; the port is 2377 unless given.
    package init(parsing text: String) throws(HostPortError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw .notIPv4(text) }
        let host = String(parts[0])
        guard !host.isEmpty, host.utf8.count <= 253, host.allSatisfy({ $0.isASCII && !$0.isWhitespace && $0 != "/" })
        else { throw .host(text) }
        // Digits and dots are meant as an address; a resolver would take some of the mistyped ones for others.
        if host.allSatisfy({ $0.isNumber || $0 == "." }), IPv4Address(host) == nil { throw .host(text) }
        guard parts.count == 2 else {
            self.init(host: host, port: Self.defaultPort)
            return
        }
        guard let port = UInt16(parts[1]), port > 0 else { throw .port(text) }
        self.init(host: host, port: Int(port))
    }

    package var description: String { "\(host):\(port)" }
}

/// What is wrong with the text of a manager's address.
package enum HostPortError: Error, Hashable, CustomStringConvertible {
    case host(String)
    case port(String)
    case notIPv4(String)

    package var description: String {
        switch self {
        case .host(let text): "\"\(text)\" is not a manager's address: give it as ADDRESS:2377, 172.30.0.1:2377 say"
        case .port(let text): "the port in \"\(text)\" is not between 1 and 65535"
        case .notIPv4(let text): "\"\(text)\" is not an IPv4 address with a port: give it as ADDRESS:2377"
        }
    }
}
