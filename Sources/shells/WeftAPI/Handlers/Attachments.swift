import NIOHTTP1
import WeftModel
import WeftNet
import WeftText

/// Interfaces in network namespaces that others made: what `weft-cni` asks for.
extension Router {
    static let attachmentRoutes: [Route] = [
        Route(.GET, "weft/v1/attachments") { try await $0.attachmentList($1) },
        Route(.POST, "weft/v1/attachments") { try await $0.attachmentCreate($1) },
        Route(.GET, "weft/v1/attachments/*/*") { try await $0.attachmentInspect($1) },
        Route(.DELETE, "weft/v1/attachments/*/*") { try await $0.attachmentRemove($1) },
    ]

    private func attachmentList(_ request: APIRequest) async throws -> APIResponse {
        .json(.array(try await namespaces.namespaceAttachments().map(attachmentJSON)))
    }

    private func attachmentCreate(_ request: APIRequest) async throws -> APIResponse {
        let fields = try request.fields()
        guard let network = try fields.text("Network") else {
            throw APIError.badRequest("Network is missing; give a network's name or id")
        }
        guard backend.swarmStanding().membership != .inactive else { throw APIError.notInSwarm }
        let attachment = try attachment(
            to: try await swarmNetwork(network), addresses: fields, aliases: try fields.strings("Aliases"))
        let made = try await namespaces.namespaceAttach(try NamespaceAttachmentRequest(fields, attachment))
        return .json(attachmentJSON(made), status: .created)
    }

    private func attachmentInspect(_ request: APIRequest) async throws -> APIResponse {
        let (sandbox, interface) = (SandboxID(request.path[3]), request.path[4])
        return .json(attachmentJSON(try await namespaces.namespaceAttachment(sandbox, interface: interface)))
    }

    private func attachmentRemove(_ request: APIRequest) async throws -> APIResponse {
        try await namespaces.namespaceDetach(SandboxID(request.path[3]), interface: request.path[4])
        return .noContent
    }

    private func attachmentJSON(_ attachment: NamespaceAttachment) -> JSON {
        let summary = attachment.endpoint
        let endpoint = summary?.endpoint
        return [
            "SandboxID": .string(attachment.sandbox.rawValue), "Interface": .string(attachment.interface),
            "NamespacePath": .string(attachment.namespacePath), "NetworkID": .string(attachment.network.rawValue),
            "Network": .string(summary?.networkName ?? ""), "EndpointID": .string(endpoint?.id.rawValue ?? ""),
            "Name": .string(endpoint?.name ?? ""), "Aliases": .strings(endpoint?.aliases ?? []),
            "IPAddress": .string(endpoint?.ipv4.description ?? ""),
            "IPPrefixLen": .integer(Int64(summary?.prefixLength ?? 0)),
            "GlobalIPv6Address": .string(endpoint?.ipv6?.description ?? ""),
            "GlobalIPv6PrefixLen": .integer(Int64(summary?.prefixLength6 ?? 0)),
            "Gateway": .string(summary?.gateway?.description ?? ""),
            "MacAddress": .string(endpoint?.mac.description ?? ""),
            "HostInterface": .string(attachment.hostInterface), "DefaultRoute": .bool(attachment.hasDefaultRoute),
            "Nameservers": .strings(attachment.nameserver.map { [$0.description] } ?? []), "Owner": .string(attachment.owner),
            "Problem": .string(attachment.problem),
        ]
    }
}

extension NamespaceAttachmentRequest {
    fileprivate init(_ fields: Fields, _ wanted: EndpointSpec) throws(APIError) {
        guard let sandbox = try fields.text("SandboxID") else {
            throw .badRequest("SandboxID is missing; give the container's id")
        }
        guard sandbox.utf8.count <= Bounds.idBytes, Self.isPlain(sandbox) else {
            throw .badRequest(
                "SandboxID is \"\(sandbox)\"; it must be up to \(Bounds.idBytes) characters of [a-zA-Z0-9_.-] and begin with a letter "
                    + "or digit")
        }
        guard let path = try fields.text("NamespacePath"), path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw .badRequest("NamespacePath must be the absolute path of a network namespace, such as /run/netns/blue")
        }
        let interface = try fields.text("Interface") ?? "eth0"
        // dev_valid_name of the kernel, and no control characters.
        guard (1...15).contains(interface.utf8.count), interface != ".", interface != "..",
            interface.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") })
        else { throw .badRequest("Interface is \"\(interface)\"; a name has 1 to 15 characters, and no space, / or :") }
        let name = try fields.text("Name") ?? String(sandbox.prefix(12))
        guard name.utf8.count <= 253, Self.isPlain(name) else {
            throw .badRequest(
                "Name is \"\(name)\"; it must be up to 253 characters of [a-zA-Z0-9_.-] and begin with a letter or digit")
        }
        var endpoint = wanted
        endpoint.name = name
        endpoint.aliases.removeAll { $0 == name }
        if let text = try fields.text("MacAddress") {
            guard let mac = MACAddress(text) else {
                throw .badRequest("MacAddress is \"\(text)\"; write it as 02:42:0a:00:00:02")
            }
            endpoint.mac = mac
        }
        self.init(
            sandbox: SandboxID(sandbox), namespacePath: path,
            interface: InterfaceSpec(
                endpoint, interface: interface,
                takesDefaultRoute: fields.has("DefaultRoute") ? try fields.bool("DefaultRoute") : true,
                owner: try fields.text("Owner") ?? ""))
    }

    private static func isPlain(_ text: String) -> Bool {
        text.utf8.enumerated().allSatisfy { index, byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
            case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): index > 0
            default: false
            }
        }
    }
}
