import WeftNet
import WeftTemplate

/// What `--publish` says: ports, and the address of the nodes that they are published at, if it is one alone.
///
/// The address goes into a label of the service's: the docker command would lose it if it were the port's.
struct Publication {
    static let label = "weft.ingress.addresses"

    let ports: [TemplateValue]
    let address: IPAddress?

    /// `8080:80`, `192.0.2.10:8080:80`, `[2001:db8::1]:8080:80/udp`, `published=8080,target=80,address=192.0.2.10`.
    init(_ argument: String) throws {
        let (address, rest) = try Self.parts(argument)
        ports = try ServiceParts.ports(rest)
        self.address = try address.map { text in
            guard let address = IPAddress(text) else { throw CommandFailure("invalid port \(argument): \"\(text)\" is no address") }
            return address
        }
        guard self.address != nil else { return }
        guard ports.allSatisfy({ $0["PublishMode"].string == "ingress" }) else {
            throw CommandFailure("invalid port \(argument): with mode=host it is published at all addresses of a task's node")
        }
        guard ports.allSatisfy({ $0["PublishedPort"].int != nil }) else {
            throw CommandFailure(
                "invalid port \(argument): at an address of its own it needs the port to publish, as in 192.0.2.10:8080:80")
        }
    }

    private static func parts(_ argument: String) throws -> (address: String?, rest: String) {
        if argument.contains("=") {
            let fields = try ServiceParts.fields(argument)
            guard let address = fields.last(where: { $0.0 == "address" })?.1 else { return (nil, argument) }
            return (address, fields.filter { $0.0 != "address" }.map { "\($0.0)=\($0.1)" }.joined(separator: ","))
        }
        if argument.hasPrefix("["), let end = argument.firstIndex(of: "]") {
            let rest = argument[argument.index(after: end)...]
            guard rest.hasPrefix(":") else { throw CommandFailure("invalid port \(argument): give it as [ADDRESS]:PUBLISHED:TARGET") }
            return (String(argument[argument.index(after: argument.startIndex)..<end]), String(rest.dropFirst()))
        }
        let sides = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard sides.count == 3 else { return (nil, argument) }
        return (String(sides[0]), sides[1...].joined(separator: ":"))
    }

    /// As the label has them.
    var entries: [String] {
        guard let address else { return [] }
        let host = address.family == .v6 ? "[\(address)]" : "\(address)"
        return ports.map { "\(host):\($0["PublishedPort"].int ?? 0)/\($0["Protocol"].string ?? "tcp")" }
    }
}

/// A service's ports, and where they are published, as its spec has them.
struct PublishedPorts {
    private var ports: [TemplateValue]
    private var entries: [String]

    init(of spec: TemplateValue) {
        ports = spec["EndpointSpec"]["Ports"].array
        entries = (spec["Labels"][Publication.label].string ?? "").split(separator: ",").map { String($0.trimmed) }
    }

    mutating func add(_ publication: Publication) {
        ports += publication.ports.filter { port in
            publication.address == nil || !ports.contains { Self.same($0, port, "PublishedPort", "TargetPort") }
        }
        entries += publication.entries.filter { !entries.contains($0) }
    }

    /// With an address it is published there no more, and not at all when that was the last.
    mutating func remove(_ publication: Publication) throws {
        if let missing = publication.entries.first(where: { !entries.contains($0) }) {
            throw CommandFailure("the service is not published at \(missing) by itself")
        }
        entries.removeAll(where: publication.entries.contains)
        let gone = ports.filter { port in
            publication.ports.contains { Self.same($0, port, "TargetPort") }
                && (publication.address == nil || !entries.contains { Self.isOf(port, $0) })
        }
        ports.removeAll(where: gone.contains)
        entries.removeAll { entry in gone.contains { Self.isOf($0, entry) } }
    }

    func apply(to spec: inout TemplateValue) {
        if !ports.isEmpty || !spec["EndpointSpec"]["Ports"].isNull { spec.set(["EndpointSpec", "Ports"], .array(ports)) }
        var labels = spec["Labels"].object ?? TemplateObject(kind: .map)
        labels[Publication.label] = entries.isEmpty ? nil : .string(entries.joined(separator: ","))
        if !entries.isEmpty || !spec["Labels"][Publication.label].isNull { spec["Labels"] = .object(labels) }
    }

    private static func same(_ one: TemplateValue, _ other: TemplateValue, _ keys: String...) -> Bool {
        (keys + ["Protocol"]).allSatisfy { one[$0] == other[$0] }
    }

    /// Whether an entry is of this port alone.
    private static func isOf(_ port: TemplateValue, _ entry: String) -> Bool {
        guard let number = port["PublishedPort"].int else { return false }
        return entry.hasSuffix(":\(number)/\(port["Protocol"].string ?? "tcp")") || entry.hasSuffix(":\(number)")
    }
}
