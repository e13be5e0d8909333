import WeftModel
import WeftNet

extension NetworkSpec {
    /// Reads the body of `POST /networks/create`. What an overlay network of this version cannot do is refused, by name.
    init(request fields: Fields) throws(APIError) {
        let driver = try fields.text("Driver") ?? "bridge"
        guard driver == "overlay" else {
            throw .unavailable(
                "networks of driver \(driver) are a container engine's, and none is connected to weftd; use --driver overlay"
            )
        }
        let name = try fields.string("Name") ?? ""
        try checkName(name, what: "network name")
        guard !["bridge", "host", "none", "default"].contains(name) else {
            throw APIError(403, "operation is not permitted on predefined \(name) network")
        }
        self.init(name: name)
        if let scope = try fields.text("Scope"), scope != "swarm" {
            throw .badRequest("an overlay network has the scope swarm, not \(scope); leave out --scope")
        }
        if fields.has("EnableIPv4"), try !fields.bool("EnableIPv4") {
            throw .badRequest("an overlay network needs IPv4 in this version; leave out --ipv4=false")
        }
        if try fields.bool("ConfigOnly") {
            throw .unavailable("ConfigOnly is not available for overlay networks; leave out --config-only")
        }
        if try fields.fields("ConfigFrom")?.text("Network") != nil {
            throw .unavailable("ConfigFrom is not available for overlay networks; leave out --config-from")
        }
        ingress = try fields.bool("Ingress")
        isInternal = try fields.bool("Internal")
        attachable = try fields.bool("Attachable")
        labels = try fields.map("Labels")
        options = try Self.options(try fields.map("Options"))
        if try fields.bool("EnableIPv6") { ipam6 = IPAMConfig() }
        if let ipam = try fields.fields("IPAM") { try read(ipam) }
    }

    /// One subnet of each family; an IPv6 one brings IPv6 with it.
    private mutating func read(_ fields: Fields) throws(APIError) {
        if let driver = try fields.text("Driver"), driver != "default" {
            throw .unavailable("the IPAM driver \(driver) is not available; leave out --ipam-driver")
        }
        if let option = try fields.map("Options").keys.min() {
            throw .unavailable("the default IPAM driver has no option \(option); leave out --ipam-opt")
        }
        var families: Set<IPAddress.Family> = []
        for entry in try fields.objects("Config") {
            let config = try IPAMConfig<IPAddress>(entry)
            let family = config.subnet?.family ?? .v4
            guard families.insert(family).inserted else {
                throw .unavailable(
                    "a network has one subnet of \(family) in this version of Weft; give --subnet once for each of IPv4 and IPv6")
            }
            switch family {
            case .v4: ipam = config.v4
            case .v6: ipam6 = config.v6
            }
        }
    }

    private static let mtuOption = "com.docker.network.driver.mtu"

    private static func options(_ sent: [String: String]) throws(APIError) -> [String: String] {
        var options: [String: String] = [:]
        for (key, value) in sent.sorted(by: { $0.key < $1.key }) {
            switch key {
            case mtuOption:
                guard let bytes = Int(value), (576...65535).contains(bytes) else {
                    throw .badRequest("\(key) is \"\(value)\"; give the MTU in bytes, from 576 to 65535")
                }
                options[key] = String(bytes)
            // Kept as it was said: clients compare what they asked for with what they are shown.
            case "encrypted" where ["false", "0"].contains(value.lowercased()): options[key] = value
            case "encrypted":
                throw .unavailable(
                    "encrypted networks are not available in this version of Weft; leave out --opt encrypted")
            default:
                throw .badRequest("overlay networks have no option \(key); there is \(mtuOption)")
            }
        }
        return options
    }
}

extension IPAMConfig<IPAddress> {
    fileprivate init(_ config: Fields) throws(APIError) {
        self.init()
        subnet = try Self.prefix(config, "Subnet")
        range = try Self.prefix(config, "IPRange")
        if let text = try config.text("Gateway") { gateway = try Self.address(text, config.name("Gateway")) }
        for (name, text) in try config.map("AuxiliaryAddresses").sorted(by: { $0.key < $1.key }) {
            auxiliaryAddresses[name] = try Self.address(text, "AuxiliaryAddresses.\(name)")
        }
        guard let subnet else {
            if range != nil || gateway != nil || !auxiliaryAddresses.isEmpty {
                throw .badRequest("a gateway, range or auxiliary address needs the subnet it is in; give --subnet too")
            }
            return
        }
        let lengths = subnet.family == .v4 ? 8...29 : 48...120
        guard lengths.contains(subnet.length) else {
            throw .badRequest(
                "the subnet \(subnet) is too \(subnet.length < lengths.lowerBound ? "large" : "small"); give a "
                    + "/\(lengths.lowerBound) to /\(lengths.upperBound)")
        }
        if let range, !subnet.contains(range) {
            throw .badRequest("the range \(range) is not inside the subnet \(subnet)")
        }
        if let gateway { try Self.check(gateway, "gateway", in: subnet) }
        var taken = Set(gateway.map { [$0] } ?? [])
        for (name, address) in auxiliaryAddresses.sorted(by: { $0.key < $1.key }) {
            try Self.check(address, "auxiliary address \(name)", in: subnet)
            guard taken.insert(address).inserted else { throw .badRequest("the address \(address) is given twice") }
        }
    }

    private static func check(_ address: IPAddress, _ what: String, in subnet: AnyIPPrefix) throws(APIError) {
        guard subnet.hosts.contains(address) else {
            throw .badRequest("the \(what) \(address) is no host address of the subnet \(subnet)")
        }
    }

    private static func address(_ text: String, _ name: String) throws(APIError) -> IPAddress {
        guard let address = IPAddress(text) else { throw .badRequest("\(name) is \"\(text)\", which is no IP address") }
        return address
    }

    /// A prefix without host bits.
    private static func prefix(_ fields: Fields, _ key: String) throws(APIError) -> AnyIPPrefix? {
        guard let text = try fields.text(key) else { return nil }
        guard let (address, length) = AnyIPPrefix.parts(text), let prefix = AnyIPPrefix(address, length: length) else {
            throw .badRequest("\(key) is \"\(text)\"; give a subnet such as 10.9.0.0/24 or fd00:9::/64")
        }
        guard prefix.network == address else { throw .badRequest("invalid \(key) \(text): it should be \(prefix)") }
        return prefix
    }
}
