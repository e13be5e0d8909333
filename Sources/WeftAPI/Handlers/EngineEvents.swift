import NIOCore
import NIOHTTP1
import WeftEngine

/// The engine's events, in which the swarm's networks appear as what they are to the user.
extension Router {
    private enum Part: Sendable {
        case head(HTTPResponseHead)
        case bytes(ByteBuffer)
    }

    /// Parts that may wait for a slow client; past it the stream ends, and the client asks again.
    private static let eventsWaitingMax = 16_384

    func events(_ request: APIRequest) async throws -> APIResponse {
        let engine = try localEngine()
        let (parts, queue) = AsyncThrowingStream<Part, any Error>.makeStream(
            bufferingPolicy: .bufferingOldest(Self.eventsWaitingMax))
        // Ends with its consumer.
        let reading = Task {
            do {
                try await engine.client.stream(.GET, request.uri, headers: request.headers) { head, chunk in
                    let result = queue.yield(chunk.readableBytes == 0 ? .head(head) : .bytes(chunk))
                    if case .dropped = result { throw EngineError.broken(reason: "the client does not keep up") }
                }
                queue.finish()
            } catch {
                queue.finish(throwing: error)
            }
        }
        queue.onTermination = { _ in reading.cancel() }
        var iterator = parts.makeAsyncIterator()
        guard case .head(let head)? = try await iterator.next() else { throw EngineError.broken(reason: "no answer came") }
        guard head.status == .ok else {
            var body: [UInt8] = []
            while case .bytes(let chunk)? = try await iterator.next() { body += chunk.readableBytesView }
            return APIResponse(EngineResponse(status: Int(head.status.code), headers: head.headers, body: body))
        }
        let shape = APIResponse(EngineResponse(status: 200, headers: head.headers, body: []))
        return APIResponse(
            status: .ok, headers: shape.headers,
            body: .stream { writer in
                var line: [UInt8] = []
                for try await case .bytes(let chunk) in parts {
                    let identities = await engine.shadows.identities
                    var output: [UInt8] = []
                    for byte in chunk.readableBytesView {
                        line.append(byte)
                        guard byte == 0x0a else { continue }
                        output += Self.shown(line, identities) ?? []
                        line.removeAll(keepingCapacity: true)
                    }
                    try await writer.write(output)
                }
                try await writer.write(line)
            })
    }

    /// An event as the user sees it; nil when it is none of his: what stands for a network of the swarm comes and goes unseen.
    static func shown(_ line: [UInt8], _ identities: [String: String]) -> [UInt8]? {
        guard let event = try? JSONParser.parse(line), event["Type"] == "network",
            event["Actor"]?["Attributes"]?["type"] == "weft"
        else { return line }
        if event["Action"] == "create" || event["Action"] == "destroy" || event["Action"] == "remove" { return nil }
        var output = replacing("\"type\":\"weft\"", with: "\"type\":\"overlay\"", in: line)
        for (shadow, network) in identities { output = replacing(shadow, with: network, in: output) }
        return output
    }
}
