import NIOHTTP1
import WeftEngine
import WeftModel
import WeftText

/// Requests that the engine answers and weftd reads: sent on whole, the answer shaped by the caller.
extension Router {
    /// The engine, when one is configured.
    func localEngine() throws(APIError) -> LocalEngine {
        guard let engine else { throw .noEngine }
        return engine
    }

    /// Sends the request on, and returns what the engine said, whatever its status. Throws `.noEngine` when nobody listens.
    func ask(
        _ engine: LocalEngine, _ request: APIRequest, uri: String? = nil, body: [UInt8]? = nil, within limit: Duration? = nil
    ) async throws -> EngineResponse {
        let method = request.method == .HEAD ? HTTPMethod.GET : request.method
        let body = body ?? (request.body.isEmpty ? nil : request.body)
        return try await engine.client.request(
            method, uri ?? request.uri, headers: request.headers, body: body, within: limit)
    }

    /// What the engine adds to an answer of the swarm's own, which does not wait for it longer than its patience.
    func hear(_ request: APIRequest, uri: String? = nil) async throws -> EngineWord {
        guard let engine else { return .absent }
        do { return .answer(try await ask(engine, request, uri: uri, within: engine.patience)) } catch EngineError.absent {
            return .absent
        } catch let error as EngineError {
            guard noteIfSilent(error, at: request) else { throw error }
            return .silent(error)
        }
    }

    /// `path` behind the version that the request named.
    func enginePath(_ request: APIRequest, _ path: [String], query: String = "") -> String {
        let version = RequestTarget(request.uri)?.version.map { "/v\($0)" } ?? ""
        return version + path.map { "/" + $0.percentEncoded }.joined() + (query.isEmpty ? "" : "?\(query)")
    }
}

/// What came of asking the engine.
enum EngineWord {
    case answer(EngineResponse)
    /// None is configured, or nobody listens.
    case absent
    /// It does not answer; the error says so.
    case silent(EngineError)
}

extension EngineError {
    /// Of an answer that tells of it.
    var httpStatus: Int { if case .silent = self { 504 } else { status ?? 502 } }
}

extension APIResponse {
    /// The engine's answer with another body, or its own.
    init(_ response: EngineResponse, body: [UInt8]? = nil) {
        var headers = response.headers
        for name in ["Content-Length", "Transfer-Encoding", "Connection"] { headers.remove(name: name) }
        self.init(
            status: HTTPResponseStatus(statusCode: response.status), headers: headers, body: .whole(body ?? response.body))
    }
}

extension EngineResponse {
    /// The body as JSON, of a success.
    var json: JSON? { status == 200 || status == 201 ? try? JSON(parsing: body) : nil }
}

/// Replaces every occurrence of `old`.
func replacing(_ old: some StringProtocol, with new: some StringProtocol, in bytes: [UInt8]) -> [UInt8] {
    let old = Array(old.utf8)
    let new = Array(new.utf8)
    guard let first = old.first, bytes.count >= old.count else { return bytes }
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count)
    var index = 0
    while index < bytes.count {
        if bytes[index] == first, bytes.count - index >= old.count, bytes[index..<index + old.count].elementsEqual(old) {
            output += new
            index += old.count
        } else {
            output.append(bytes[index])
            index += 1
        }
    }
    return output
}
