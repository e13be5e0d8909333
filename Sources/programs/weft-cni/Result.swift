import WeftText

/// What ADD answers, from what weftd made.
struct Result {
    let json: JSON
    /// With prefix length; IPv4's first.
    let addresses: [String]
    let mac: String

    init(_ attachment: JSON, _ configuration: Configuration, _ invocation: Invocation) throws(CNIError) {
        guard let address = try attachment.string("IPAddress"), let length = try attachment.integer("IPPrefixLen"),
            let mac = try attachment.string("MacAddress"), let hostInterface = try attachment.string("HostInterface")
        else { throw CNIError(.inputOutput, "weftd's answer is not complete; are weftd and weft-cni of the same version?") }
        var addresses = ["\(address)/\(length)"]
        if let address = try attachment.string("GlobalIPv6Address"), !address.isEmpty,
            let length = try attachment.integer("GlobalIPv6PrefixLen")
        {
            addresses.append("\(address)/\(length)")
        }
        self.addresses = addresses
        self.mac = mac.lowercased()
        let gateway = try attachment.string("Gateway")
        let ips = addresses.map { address in
            var ip: JSON = [:]
            let isIPv6 = address.contains(":")
            if configuration.version.hasPrefix("0.") { ip.append("version", isIPv6 ? "6" : "4") }
            ip.append("address", .string(address))
            // There is no way out by IPv6.
            if let gateway, !isIPv6 { ip.append("gateway", .string(gateway)) }
            // The second of the interfaces.
            ip.append("interface", 1)
            return ip
        }

        var routes: [JSON] = []
        if try attachment.bool("DefaultRoute") == true, let gateway {
            routes.append(["dst": "0.0.0.0/0", "gw": .string(gateway)])
        }
        let nameservers = try attachment.strings("Nameservers")
        for server in nameservers { routes.append(["dst": .string("\(server)/32")]) }

        var dns: JSON = [:]
        if !nameservers.isEmpty { dns.append("nameservers", .strings(nameservers)) }
        if let domain = try configuration.json.member("dns")?.string("domain") { dns.append("domain", .string(domain)) }
        for key in ["search", "options"] {
            let texts = try configuration.json.member("dns")?.strings(key) ?? []
            if !texts.isEmpty { dns.append(key, .strings(texts)) }
        }
        json = [
            "cniVersion": .string(configuration.version),
            "interfaces": [
                ["name": .string(hostInterface)],
                ["name": .string(invocation.interface), "mac": .string(mac), "sandbox": .string(invocation.namespacePath)],
            ],
            "ips": .array(ips), "routes": .array(routes), "dns": dns,
        ]
    }
}
