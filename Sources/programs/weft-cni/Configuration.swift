import WeftHTTP
import WeftText

/// The network configuration that a runtime writes to standard input: the plugin's object of the conflist with the
/// list's version and name, and what the runtime adds.
struct Configuration {
    /// What can be spoken; the newest last.
    static let versions = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]

    let json: JSON
    let version: String
    /// The network configuration's name.
    let name: String
    /// Weft's network: name, id, or beginning of an id.
    let network: String
    /// weftd's unix socket.
    let socket: String
    let takesDefaultRoute: Bool

    init(_ json: JSON, environment: [String: String]) throws(CNIError) {
        self.json = json
        guard case .object = json else { throw CNIError(.notDecodable, "the network configuration must be a JSON object") }
        // As the specification has it: no version means 0.1.0, which this plugin does not speak.
        version = try json.string("cniVersion") ?? "0.1.0"
        guard Self.versions.contains(version) else {
            throw CNIError(
                .incompatibleVersion, "cniVersion \(version) is not supported",
                details: "give one of \(Self.versions.joined(separator: ", "))")
        }
        name = try json.string("name") ?? ""
        guard let network = try json.string("network") ?? (name.isEmpty ? nil : name) else {
            throw CNIError(.invalidConfiguration, "\"name\" is missing", details: "give the network's name or id as \"network\"")
        }
        self.network = network
        let host = try json.string("host") ?? environment["WEFT_HOST"] ?? "unix:///run/weft/docker.sock"
        guard let path = UnixHTTPClient.path(of: host) else {
            throw CNIError(.invalidConfiguration, "\"host\" is \(host)", details: "give unix:///PATH/TO/docker.sock")
        }
        socket = path
        takesDefaultRoute = try json.bool("isDefaultGateway") ?? true
    }

    /// What only weftd could do, or another plugin, is refused rather than dropped.
    func checkForAdd() throws(CNIError) {
        if let ipam = json.member("ipam"), try ipam.string("type") != nil {
            throw CNIError(
                .invalidConfiguration, "\"ipam\" is given, but Weft's networks have addresses of their own",
                details: "remove \"ipam\"; one address is asked for with the capability ips or CNI_ARGS IP=")
        }
        if let runtime = json.member("runtimeConfig"), try !runtime.array("portMappings").isEmpty {
            throw CNIError(
                .invalidConfiguration, "weft does not map ports itself",
                details: "chain the plugin portmap after weft, and declare the capability portMappings there, not at weft")
        }
        if let dns = json.member("dns"), case .object(let object) = dns {
            let known: Set = ["search", "domain", "options", "nameservers"]
            for (key, _) in object where !known.contains(key) {
                throw CNIError(.invalidConfiguration, "\"dns\" has no member \(key)")
            }
            if try !dns.strings("nameservers").isEmpty {
                throw CNIError(
                    .invalidConfiguration, "\"dns\" names servers, but names on Weft's networks are answered by weftd",
                    details: "remove \"nameservers\"; weftd asks the host's resolvers for what is not its own")
            }
        }
    }
}
