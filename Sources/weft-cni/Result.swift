import WeftTemplate

/// What ADD answers, from what weftd made.
struct Result {
    let json: TemplateValue
    /// With prefix length.
    let address: String
    let mac: String

    init(_ attachment: TemplateValue, _ configuration: Configuration, _ invocation: Invocation) throws(CNIError) {
        guard let address = try attachment.string("IPAddress"), let length = try attachment.integer("IPPrefixLen"),
            let mac = try attachment.string("MacAddress"), let hostInterface = try attachment.string("HostInterface")
        else { throw CNIError(.inputOutput, "weftd's answer is not complete; are weftd and weft-cni of the same version?") }
        self.address = "\(address)/\(length)"
        self.mac = mac.lowercased()
        let gateway = try attachment.string("Gateway")
        var ip = TemplateObject()
        if configuration.version.hasPrefix("0.") { ip["version"] = "4" }
        ip["address"] = .string(self.address)
        if let gateway { ip["gateway"] = .string(gateway) }
        // The second of the interfaces.
        ip["interface"] = .int(1)

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
            "ips": [.object(ip)], "routes": .array(routes), "dns": .object(dns),
        ]
    }
}
