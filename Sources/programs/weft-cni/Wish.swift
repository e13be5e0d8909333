import WeftText

/// What an ADD asks weftd for.
struct Wish {
    let body: JSON

    init(_ configuration: Configuration, _ invocation: Invocation) throws(CNIError) {
        let json = configuration.json
        let runtime = json.member("runtimeConfig")
        var object: JSON = [
            "Network": .string(configuration.network), "SandboxID": .string(invocation.container),
            "Interface": .string(invocation.interface), "NamespacePath": .string(invocation.namespacePath),
            "Owner": .string(configuration.name), "DefaultRoute": .bool(configuration.takesDefaultRoute),
        ]
        if let name = invocation.arguments["K8S_POD_NAME"], !name.isEmpty { object.append("Name", .string(name)) }
        for address in try Self.addresses(runtime, json, invocation) {
            let key = address.contains(":") ? "IPv6Address" : "IPv4Address"
            guard object[key] == nil else {
                throw CNIError(
                    .invalidConfiguration, "two addresses of one family are asked for, \(address) among them",
                    details: "ask for one IPv4 address, and one of IPv6 where the network has it")
            }
            object.append(key, .string(address))
        }
        var mac = try runtime?.string("mac")
        if mac == nil { mac = try json.member("args")?.member("cni")?.string("mac") }
        if let mac = mac ?? invocation.arguments["MAC"], !mac.isEmpty { object.append("MacAddress", .string(mac)) }
        object.append("Aliases", .strings(try Self.aliases(runtime, configuration)))
        body = object
    }

    /// By the capability ips, by `args.cni.ips`, or by `CNI_ARGS`; with or without the prefix length, which is the network's.
    private static func addresses(
        _ runtime: JSON?, _ json: JSON, _ invocation: Invocation
    ) throws(CNIError) -> [String] {
        var asked = try runtime?.strings("ips") ?? []
        if asked.isEmpty { asked = try json.member("args")?.member("cni")?.strings("ips") ?? [] }
        if asked.isEmpty, let address = invocation.arguments["IP"], !address.isEmpty {
            asked = address.split(separator: ",").map { String($0) }
        }
        return asked.map { String($0.prefix { $0 != "/" }) }
    }

    /// podman's capability aliases: a list for each network.
    private static func aliases(
        _ runtime: JSON?, _ configuration: Configuration
    ) throws(CNIError) -> [String] {
        guard let all = runtime?.member("aliases") else { return [] }
        guard case .object = all else { throw CNIError(.notDecodable, "\"aliases\" must be an object of lists") }
        return try all.strings(configuration.name)
    }
}
