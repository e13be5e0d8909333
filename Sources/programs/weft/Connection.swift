import ArgumentParser
import NIOHTTP1
import WeftClient
import WeftTemplate
import WeftText

/// Which weftd to talk to.
struct ConnectionOptions: ParsableArguments {
    @Option(
        name: [.customShort("H"), .long],
        help: ArgumentHelp(
            "The socket of weftd ($WEFT_HOST, else unix:///run/weft/docker.sock).", valueName: "socket"))
    var host: String?

    func connect() throws -> Connection {
        let fromEnvironment = Terminal.environment("WEFT_HOST").flatMap { $0.isEmpty ? nil : $0 }
        return Connection(client: try WeftClient(host: host ?? fromEnvironment ?? WeftClient.defaultHost))
    }
}

/// Requests to weftd with JSON as values.
struct Connection {
    /// Keys under which users choose the names.
    private static let maps: Set<String> = [
        "Labels", "Options", "AuxiliaryAddresses", "Containers", "Services", "Networks", "Drops", "DriverOpts",
    ]
    let client: WeftClient

    /// The answer's body as a value; null where there is none.
    @discardableResult
    func call(
        _ method: HTTPMethod, _ path: [String], query: [(String, String)] = [], body: TemplateValue? = nil
    ) async throws -> TemplateValue {
        let path = path.map { "/" + $0.percentEncoded }.joined()
        let response = try await client.call(method, path, query: query, body: body.map { Array($0.json.utf8) })
        // RFC 7234, 5.5: a code, who says it, and a quoted text.
        for warning in response.headers["Warning"] {
            Terminal.complain("warning: \(warning.split(separator: "\"", maxSplits: 1).last.map { $0.filter { $0 != "\"" } } ?? warning)")
        }
        guard !response.body.isEmpty else { return .null }
        do throws(JSONError) {
            return try TemplateValue(json: response.body, maps: Self.maps)
        } catch {
            throw ClientError.broken(host: client.host, reason: "the answer to \(path) is \(error)")
        }
    }

    func get(_ path: String..., query: [(String, String)] = []) async throws -> TemplateValue {
        try await call(.GET, path, query: query)
    }

    @discardableResult
    func post(_ path: String..., query: [(String, String)] = [], body: TemplateValue? = nil) async throws
        -> TemplateValue
    {
        try await call(.POST, path, query: query, body: body)
    }

    func delete(_ path: String..., query: [(String, String)] = []) async throws {
        try await call(.DELETE, path, query: query)
    }

    func sandbox(_ name: String) async throws -> TemplateValue { try await get("weft", "v1", "sandboxes", name) }

    /// This node's id, for `self`.
    func node(_ name: String) async throws -> String {
        guard name == "self" else { return name }
        let id = try await get("info")["Swarm"]["NodeID"].string ?? ""
        guard !id.isEmpty else {
            throw CommandFailure("this node is not part of a swarm, so it has no id to stand for \"self\"")
        }
        return id
    }
}
