package import NIOHTTP1
import WeftEngine
import WeftText

/// A request as the router sees it: the version prefix is gone, the path is split and decoded, the body is whole.
package struct APIRequest: Sendable {
    package let method: HTTPMethod
    /// Decoded segments of the path, without `/v1.NN`.
    package let path: [String]
    package let query: Query
    package var body: [UInt8]
    /// The target and the headers as they came, for what is sent on to the engine.
    package let uri: String
    package let headers: HTTPHeaders

    package init(
        method: HTTPMethod, path: [String], query: Query, body: [UInt8] = [], uri: String = "", headers: HTTPHeaders = [:]
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.uri = uri
        self.headers = headers
    }

    /// The body as an object; an empty body counts as one without members.
    func fields() throws(APIError) -> Fields {
        if body.isEmpty { return try Fields(.object([])) }
        let json: JSON
        do { json = try JSON(parsing: body) } catch {
            throw .badRequest("the request's body is not JSON: \(error.reason) (at byte \(error.offset))")
        }
        return try Fields(json.isNull ? .object([]) : json)
    }
}

extension APIRequest {
    /// The target as it came, with another value for a name of the query.
    func replacing(_ name: String, with value: String) -> String {
        let parts = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let others = parts.dropFirst().first?.split(separator: "&").filter { $0.prefix { $0 != "=" } != name } ?? []
        return (parts.first ?? "") + "?" + (others + ["\(name)=\(value.percentEncoded)"]).joined(separator: "&")
    }
}

/// The query of a URI. A name given several times keeps its first value, as Go's `FormValue` does.
package struct Query: Sendable {
    private var values: [String: String] = [:]

    package init(_ text: some StringProtocol) {
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = parts.first.flatMap({ percentDecoded($0, plusIsSpace: true) }) else { continue }
            let value = parts.count > 1 ? percentDecoded(parts[1], plusIsSpace: true) ?? "" : ""
            if values[name] == nil { values[name] = value }
        }
    }

    /// Nil when absent or empty.
    package subscript(name: String) -> String? {
        guard let value = values[name], !value.isEmpty else { return nil }
        return value
    }

    /// Docker's truth: everything but nothing, `0`, `no`, `false` and `none`, in any case.
    package func flag(_ name: String) -> Bool {
        guard let value = values[name] else { return false }
        return !["", "0", "no", "false", "none"].contains(value.lowercased())
    }
}

/// Resolves `%xx`; nil when it is malformed or not UTF-8.
func percentDecoded(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
    var bytes: [UInt8] = []
    var rest = Substring(text).utf8
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%") {
            guard let high = rest.popFirst(), let low = rest.popFirst(),
                let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16), high != UInt8(ascii: "+")
            else { return nil }
            bytes.append(value)
        } else {
            bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? 0x20 : byte)
        }
    }
    return String(validating: bytes, as: UTF8.self)
}
