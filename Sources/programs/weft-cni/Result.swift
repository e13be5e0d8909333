import WeftTemplate

/// What ADD answers, from what weftd made.
struct Result {
    let json: TemplateValue
    /// With prefix length; IPv4's first.
    let addresses: [String]
    let mac: String

    init(_ attachment: TemplateValue, _ configuration: Configuration, _ invocation: Invocation) throws(CNIError) {
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
            var ip = TemplateObject()
            let isIPv6 = address.contains(":")
            if configuration.version.hasPrefix("0.") { ip["version"] = isIPv6 ? "6" : "4" }
            ip["address"] = .string(address)
            // There is no way out by IPv6.
            if let gateway, !isIPv6 { ip["gateway"] = .string(gateway) }
            // The second of the interfaces.
            ip["interface"] = .int(1)
            return TemplateValue.object(ip)
        }

        var routes: [TemplateValue] = []
        if try attachment.bool("DefaultRoute") == true, let gateway {
            routes.append(["dst": "0.0.0.0/0", "gw": .string(gateway)])
        }
        let nameservers = try attachment.strings("Nameservers")
        for server in nameservers { routes.append(["dst": .string("\(server)/32")]) }

        var dns = TemplateObject()
        if !nameservers.isEmpty { dns["nameservers"] = .array(nameservers.map { .string($0) }) }
        if let domain = try configuration.json.member("dns")?.string("domain") { dns["domain"] = .string(domain) }
        for key in ["search", "options"] {
            let texts = try configuration.json.member("dns")?.strings(key) ?? []
            if !texts.isEmpty { dns[key] = .array(texts.map { .string($0) }) }
        }
        json = [
            "cniVersion": .string(configuration.version),
            "interfaces": [
                ["name": .string(hostInterface)],
                ["name": .string(invocation.interface), "mac": .string(mac), "sandbox": .string(invocation.namespacePath)],
            ],
            "ips": .array(ips), "routes": .array(routes), "dns": .object(dns),
        ]
    }
}
