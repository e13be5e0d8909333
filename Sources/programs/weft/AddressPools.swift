import WeftNet
import WeftTemplate

/// `--subnet`, `--gateway`, `--ip-range` and `--aux-address`, each put to the subnet it lies in.
struct AddressPools {
    private struct Pool {
        let subnet: AnyIPPrefix
        var gateway: IPAddress?
        var range: AnyIPPrefix?
        var auxiliary: [String: String] = [:]
    }
    private var pools: [Pool] = []

    init(subnets: [String], gateways: [String], ranges: [String], auxiliary: [String: String]) throws {
        for text in subnets {
            let subnet = try Self.prefix(text, "--subnet")
            guard !pools.contains(where: { $0.subnet.overlaps(subnet) }) else {
                throw CommandFailure("multiple overlapping subnet configuration is not supported")
            }
            pools.append(Pool(subnet: subnet))
        }
        for text in ranges {
            let range = try Self.prefix(text, "--ip-range")
            try set(\.range, range, "range \(text)") { $0.contains(range) }
        }
        for text in gateways {
            let gateway = try Self.address(text, "--gateway")
            try set(\.gateway, gateway, "gateway \(text)") { $0.contains(gateway) }
        }
        for (name, text) in auxiliary.sorted(by: { $0.key < $1.key }) {
            let address = try Self.address(text, "--aux-address")
            guard let position = pools.firstIndex(where: { $0.subnet.contains(address) }) else {
                throw CommandFailure("no matching subnet for aux-address \(text)")
            }
            pools[position].auxiliary[name] = text
        }
    }

    private mutating func set<Value>(
        _ field: WritableKeyPath<Pool, Value?>, _ value: Value, _ what: String, _ fits: (AnyIPPrefix) -> Bool
    ) throws {
        guard let position = pools.firstIndex(where: { fits($0.subnet) }) else {
            throw CommandFailure("no matching subnet for \(what)")
        }
        guard pools[position][keyPath: field] == nil else {
            throw CommandFailure("more than one value for subnet \(pools[position].subnet): \(what)")
        }
        pools[position][keyPath: field] = value
    }

    private static func prefix(_ text: String, _ option: String) throws -> AnyIPPrefix {
        guard let prefix = AnyIPPrefix(text) else {
            throw CommandFailure("invalid value \"\(text)\" for \(option): give a subnet such as 10.9.0.0/24 or fd00:9::/64")
        }
        return prefix
    }

    private static func address(_ text: String, _ option: String) throws -> IPAddress {
        guard let address = IPAddress(text) else {
            throw CommandFailure("invalid value \"\(text)\" for \(option): give an address such as 10.9.0.1 or fd00:9::1")
        }
        return address
    }

    /// The `IPAM.Config` of a request.
    var value: TemplateValue {
        .array(
            pools.map { pool in
                var value: TemplateValue = ["Subnet": .string(pool.subnet.description)]
                if let range = pool.range { value["IPRange"] = .string(range.description) }
                if let gateway = pool.gateway { value["Gateway"] = .string(gateway.description) }
                if !pool.auxiliary.isEmpty { value["AuxiliaryAddresses"] = .map(pool.auxiliary) }
                return value
            })
    }
}
