package import WeftNet

/// What a service's labels say of its published ports: at which addresses of the hosts, and for whom.
///
/// They are labels, as the docker command sends a service's ports without what it does not know of them, and its labels whole.
package struct IngressLabels: Hashable, Sendable {
    package static let prefix = "weft.ingress."
    /// `192.0.2.10` for all ports of the service, `192.0.2.10:8080`, `[2001:db8::1]:53/udp` for one: separated by commas.
    package static let addressesKey = prefix + "addresses"
    /// Networks of clients, `10.0.0.0/8`, or single addresses: separated by commas.
    package static let fromKey = prefix + "from"
    /// `true`: a task on another node than was asked answers by its own node, with the address that was asked.
    package static let directKey = prefix + "dsr"

    /// Where ports are published.
    package struct Place: Hashable, Sendable {
        package let address: IPAddress
        /// Nil: every port of the service that nothing else is said of.
        package let port: UInt16?
        package let transport: PortConfig.Transport?
    }

    package private(set) var places: [Place] = []
    /// Whoever else asks gets no answer; empty: everybody may ask.
    package private(set) var sources: Set<AnyIPPrefix> = []
    package private(set) var isDirect = false

    /// Labels that are none of these say nothing here.
    package init(_ labels: [String: String]) throws(IngressLabelError) {
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) where key.hasPrefix(Self.prefix) {
            let words = value.split(separator: ",").map { $0.trimmingBlanks }
            guard !words.isEmpty else { throw IngressLabelError("the label \(key) is empty: remove it, or give it a value") }
            switch key {
            case Self.addressesKey: for word in words { places.append(try Place(word)) }
            case Self.fromKey: for word in words { sources.insert(try Self.source(word)) }
            case Self.directKey:
                guard let isOn = Bool(value) else { throw IngressLabelError("the label \(key) is \"\(value)\": give it as true or false") }
                isDirect = isOn
            default:
                throw IngressLabelError(
                    "there is no label \(key): there are \(Self.addressesKey), \(Self.fromKey) and \(Self.directKey)")
            }
        }
    }

    /// The addresses that a port is published at; empty: all that a host has.
    package func addresses(of port: UInt16, _ transport: PortConfig.Transport) -> Set<IPAddress> {
        let own = places.filter { $0.port == port && $0.transport ?? transport == transport }
        return Set((own.isEmpty ? places.filter { $0.port == nil } : own).map(\.address))
    }

    private static func source(_ word: Substring) throws(IngressLabelError) -> AnyIPPrefix {
        if let address = IPAddress(String(word)) { return AnyIPPrefix(host: address) }
        guard let prefix = AnyIPPrefix(String(word)) else {
            throw IngressLabelError("\"\(word)\" in the label \(fromKey) is no network: give it as 10.0.0.0/8")
        }
        return prefix
    }
}

extension IngressLabels.Place {
    fileprivate init(_ word: Substring) throws(IngressLabelError) {
        let halves = word.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let (address, port) = Self.parts(halves[0])
        let transport = halves.count > 1 ? PortConfig.Transport(rawValue: halves[1].lowercased()) : nil
        guard let address, port.map({ UInt16($0) ?? 0 > 0 }) ?? (halves.count == 1), halves.count == 1 || transport != nil else {
            throw IngressLabelError(
                "\"\(word)\" in the label \(IngressLabels.addressesKey) is no address: give it as 192.0.2.10, 192.0.2.10:8080 or "
                    + "[2001:db8::1]:53/udp")
        }
        guard !address.isUnspecified, !address.isMulticast else {
            throw IngressLabelError(
                "\(address) in the label \(IngressLabels.addressesKey) is no address of a host: a port without one is published at all")
        }
        self.address = address
        self.port = port.flatMap { UInt16($0) }
        self.transport = transport
    }

    /// `192.0.2.10`, `192.0.2.10:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
    private static func parts(_ text: Substring) -> (IPAddress?, port: Substring?) {
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return (nil, nil) }
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.first == ":" else { return (nil, nil) }
            let address = IPv6Address(String(text[text.index(after: text.startIndex)..<end])).map { IPAddress.v6($0) }
            return (address, rest.isEmpty ? nil : rest.dropFirst())
        }
        if let address = IPAddress(String(text)) { return (address, nil) }
        guard let colon = text.lastIndex(of: ":") else { return (nil, nil) }
        return (IPv4Address(String(text[..<colon])).map { IPAddress.v4($0) }, text[text.index(after: colon)...])
    }
}

/// A label of published ports says nothing that can be.
package struct IngressLabelError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

extension Substring {
    fileprivate var trimmingBlanks: Substring {
        var rest = drop { $0 == " " }
        while rest.last == " " { rest.removeLast() }
        return rest
    }
}
