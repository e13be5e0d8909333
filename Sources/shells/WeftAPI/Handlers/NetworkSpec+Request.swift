import WeftModel
import WeftNet

extension NetworkSpec {
    /// Reads the body of `POST /networks/create`. What cannot be said of an overlay network is refused here, by the member's name;
    /// what may be said and is not allowed (names, sizes, options) is judged by the manager.
    init(request fields: Fields) throws(APIError) {
        let driver = try fields.text("Driver") ?? "bridge"
        guard driver == "overlay" else {
            throw .unavailable(
                "driver \(driver) is none of Weft's, which has overlay; bridge, ipvlan, macvlan and those of plugins are a container "
                    + "engine's, and none is connected to weftd"
            )
        }
        self.init(name: try fields.string("Name") ?? "")
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
        options = try fields.map("Options")
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
            let family = try config.family
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
    }

    /// What the subnet is of, else what else is said.
    fileprivate var family: IPAddress.Family {
        get throws(APIError) {
            let addresses = (gateway.map { [$0] } ?? []) + auxiliaryAddresses.sorted { $0.key < $1.key }.map(\.value)
            let family = subnet?.family ?? range?.family ?? addresses.first?.family ?? .v4
            if let other = addresses.first(where: { $0.family != family }) {
                throw .badRequest("the address \(other) is none of \(family), as the rest of its subnet's settings is")
            }
            if let range, range.family != family { throw .badRequest("the range \(range) is none of \(family), as its subnet is") }
            return family
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
