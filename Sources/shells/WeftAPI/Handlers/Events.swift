import FoundationEssentials
import NIOCore
import NIOHTTP1
import WeftEngine
import WeftHTTP
import WeftModel
import WeftText

/// The engine's events, in which the swarm's networks appear as what they are to the user, and between them the swarm's.
extension Router {
    /// Lines that may wait for a slow client; past it the stream ends, and the client asks again.
    private static let eventsWaitingMax = 16_384

    func events(_ request: APIRequest) async throws -> APIResponse {
        let engine = try localEngine()
        let choice = try EventChoice(request)
        let swarm = backend.clusterEvents()
        let uri = try choice.engineURI(request, names: try await networkNames(swarm.past))
        let (lines, queue) = AsyncThrowingStream<[UInt8], any Error>.makeStream(
            bufferingPolicy: .bufferingOldest(Self.eventsWaitingMax))
        let (heads, head) = AsyncThrowingStream<HTTPResponseHead, any Error>.makeStream()
        // Ends with its consumer.
        let reading = Task {
            do {
                try await Self.read(engine, request, uri, choice, head: head, into: queue)
                queue.finish()
            } catch {
                head.finish(throwing: error)
                queue.finish(throwing: error)
            }
        }
        queue.onTermination = { _ in reading.cancel() }
        let silence = EngineError.silent(path: engine.client.socketPath)
        var answer: HTTPResponseHead?
        do {
            // Goes on when that is late: the engine's events come when it does. Where there is an end they would come never, so the
            // engine gets more time.
            let limit = choice.isOver(now: Self.now) ? .seconds(30) : engine.patience
            answer = try await limited(to: limit, cancels: false, late: silence) { try await heads.first { _ in true } }
        } catch EngineError.absent {
            return Self.events(of: swarm, choice)
        } catch let error as EngineError where error == silence {
            noteIfSilent(error, at: request)
            guard !choice.isOver(now: Self.now) else {
                reading.cancel()
                return Self.events(of: swarm, choice)
            }
            answer = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["Content-Type": "application/json"])
        }
        guard let answer else { throw EngineError.broken(reason: "no answer came") }
        guard answer.status == .ok else {
            var body: [UInt8] = []
            for try await line in lines { body += line }
            return APIResponse(EngineResponse(status: Int(answer.status.code), headers: answer.headers, body: body))
        }
        let past = swarm.past.filter { choice.takesPast($0) }
        let shape = APIResponse(EngineResponse(status: 200, headers: answer.headers, body: []))
        return APIResponse(
            status: .ok, headers: shape.headers,
            body: .stream { writer in
                // What has been comes in the order of its time as far as it is all at hand, which is so when there is an end.
                if choice.isOver(now: Self.now) {
                    var all = past.map(\.line)
                    for try await line in lines { all.append(line) }
                    for line in Self.inOrder(all) { try await writer.write(line) }
                    return
                }
                for event in past { try await writer.write(event.line) }
                let following = Task {
                    for await event in swarm.live where choice.takes(event) { queue.yield(event.line) }
                }
                defer { following.cancel() }
                for try await line in lines { try await writer.write(line) }
            })
    }

    /// Without an engine there are the swarm's events alone.
    private static func events(
        of swarm: (past: [ClusterEvent], live: AsyncStream<ClusterEvent>), _ choice: EventChoice
    ) -> APIResponse {
        APIResponse(
            status: .ok, headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                for event in swarm.past where choice.takesPast(event) { try await writer.write(event.line) }
                let (ended, end) = AsyncStream<ClusterEvent>.makeStream()
                let following = Task {
                    for await event in swarm.live { end.yield(event) }
                    end.finish()
                }
                let waiting = Task {
                    guard let until = choice.until else { return }
                    try await Task.sleep(for: max(.zero, until - now))
                    end.finish()
                }
                defer {
                    following.cancel()
                    waiting.cancel()
                }
                for await event in ended where choice.takes(event) { try await writer.write(event.line) }
            })
    }

    private static var now: Instant { Instant(nanoseconds: Int64(Date.now.timeIntervalSince1970 * 1_000_000_000)) }

    /// Reads the engine's answer to its end, and hands it on by lines.
    private static func read(
        _ engine: LocalEngine, _ request: APIRequest, _ uri: String, _ choice: EventChoice,
        head: AsyncThrowingStream<HTTPResponseHead, any Error>.Continuation,
        into queue: AsyncThrowingStream<[UInt8], any Error>.Continuation
    ) async throws {
        let (chunks, chunk) = AsyncThrowingStream<ByteBuffer, any Error>.makeStream(
            bufferingPolicy: .bufferingOldest(eventsWaitingMax))
        try await withThrowingTaskGroup { group in
            group.addTask {
                defer { chunk.finish() }
                try await engine.client.stream(.GET, uri, headers: request.headers) { answer, bytes in
                    if bytes.readableBytes == 0 {
                        head.yield(answer)
                    } else if case .dropped = chunk.yield(bytes) {
                        throw EngineError.broken(reason: "the client does not keep up")
                    }
                }
            }
            group.addTask {
                var line: [UInt8] = []
                for try await bytes in chunks {
                    let identities = await engine.shadows.identities
                    for byte in bytes.readableBytesView {
                        line.append(byte)
                        guard byte == 0x0a else { continue }
                        if let shown = shown(line, identities), choice.takes(shown), case .dropped = queue.yield(shown) {
                            throw EngineError.broken(reason: "the client does not keep up")
                        }
                        line.removeAll(keepingCapacity: true)
                    }
                }
                if !line.isEmpty { queue.yield(line) }
            }
            try await group.waitForAll()
        }
    }

    /// What the swarm's networks are or were called, by id.
    private func networkNames(_ past: [ClusterEvent]) async throws -> [String: String] {
        var names: [String: String] = [:]
        for event in past where event.kind == .network { names[event.id] = event.attributes["name"] }
        for network in try await backend.clusterNetworks() { names[network.id.rawValue] = network.spec.name }
        return names
    }

    /// Events sorted by time; a line that has none stays where it is told.
    static func inOrder(_ lines: [[UInt8]]) -> [[UInt8]] {
        var timed: [(time: Int64, index: Int, line: [UInt8])] = []
        for (index, line) in lines.enumerated() {
            var time = timed.last?.time ?? 0
            if case .integer(let nanoseconds)? = (try? JSON(parsing: line))?["timeNano"] { time = nanoseconds }
            timed.append((time, index, line))
        }
        return timed.sorted { ($0.time, $0.index) < ($1.time, $1.index) }.map(\.line)
    }

    /// An event as the user sees it; nil when it is none of his: what stands for a network of the swarm comes and goes unseen.
    static func shown(_ line: [UInt8], _ identities: [String: String]) -> [UInt8]? {
        guard let event = try? JSON(parsing: line), event["Type"] == "network",
            event["Actor"]?["Attributes"]?["type"] == "weft"
        else { return line }
        if event["Action"] == "create" || event["Action"] == "destroy" || event["Action"] == "remove" { return nil }
        var output = replacing("\"type\":\"weft\"", with: "\"type\":\"overlay\"", in: line)
        for (shadow, network) in identities { output = replacing(shadow, with: network, in: output) }
        return output
    }
}

/// Which of the swarm's events a request is after. The engine chooses among its own.
struct EventChoice {
    let filters: Filters
    let since: Instant?
    let until: Instant?

    init(_ request: APIRequest) throws(APIError) {
        filters = try Filters(request, allowed: nil)
        since = try Self.time(request, "since")
        until = try Self.time(request, "until")
    }

    /// Seconds since 1970, with a fraction or not.
    static func time(_ request: APIRequest, _ key: String) throws(APIError) -> Instant? {
        guard let text = request.query[key] else { return nil }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count > 1 ? parts[1].prefix(9) : ""
        guard let seconds = Int64(parts[0]), abs(seconds) < Int64.max / 2_000_000_000,
            let nanoseconds = Int64(fraction + String(repeating: "0", count: 9 - fraction.count)), nanoseconds >= 0
        else { throw .badRequest("\(key) is \"\(text)\"; give seconds since 1970, such as 1700000000.5") }
        return Instant(nanoseconds: seconds * 1_000_000_000 + nanoseconds)
    }

    func isOver(now: Instant) -> Bool { until.map { $0 <= now } ?? false }

    /// Without a beginning, what has been is not told.
    func takesPast(_ event: ClusterEvent) -> Bool {
        guard let since, event.time >= since else { return false }
        return takes(event)
    }

    func takes(_ event: ClusterEvent) -> Bool {
        if let until, event.time > until { return false }
        return filters.matches("type") { $0 == event.kind.rawValue }
            && filters.matches("event") { $0 == event.action.rawValue } && filters.matches("scope") { $0 == "swarm" }
            && filters.matchesAll("label") { hasLabel(event.attributes, $0) }
            && Self.kinds.allSatisfy { kind in
                // Whose filter is for another kind of object is after that kind alone.
                filters.matches(kind) { wanted in
                    event.id.hasPrefix(wanted) || (event.attributes["name"] ?? "").hasPrefix(wanted)
                }
            }
    }

    /// The request as the engine can answer it. It knows the swarm's networks by their names, not by their ids: for an id it is
    /// asked for the name as well.
    func engineURI(_ request: APIRequest, names: [String: String]) throws(APIError) -> String {
        let wanted = filters["network"]
        let more = wanted.flatMap { id in names.filter { !id.isEmpty && $0.key.hasPrefix(id) }.map(\.value) }
        guard !more.isEmpty else { return request.uri }
        var text: JSON = (try? JSON(parsing: Array((request.query["filters"] ?? "{}").utf8))) ?? [:]
        // The engine reads either shape, but not both in one text.
        let hasLists = if case .object(let members) = text { members.contains { $0.value.isArray } } else { false }
        let all = Set(wanted + more).sorted()
        text.set("network", hasLists ? .strings(all) : .object(all.map { (key: $0, value: true) }))
        var query = ["filters=" + String(decoding: text.utf8, as: UTF8.self).percentEncoded]
        for key in ["since", "until"] {
            if let value = request.query[key] { query.append("\(key)=\(value.percentEncoded)") }
        }
        return String(request.uri.prefix { $0 != "?" }) + "?" + query.joined(separator: "&")
    }

    /// Whether an event of the engine is of a network that was asked for: by name it was asked for more.
    func takes(_ line: [UInt8]) -> Bool {
        guard !filters["network"].isEmpty, let event = try? JSON(parsing: line), event["Type"] == "network",
            case .string(let id)? = event["Actor"]?["ID"]
        else { return true }
        var name = ""
        if case .string(let text)? = event["Actor"]?["Attributes"]?["name"] { name = text }
        return filters.matches("network") { id.hasPrefix($0) || name.hasPrefix($0) }
    }

    private static let kinds = [
        "config", "container", "daemon", "image", "network", "node", "plugin", "secret", "service", "volume",
    ]
}

extension ClusterEvent {
    /// As `/events` tells it.
    var line: [UInt8] {
        let json: JSON = [
            "Type": .string(kind.rawValue), "Action": .string(action.rawValue),
            "Actor": ["ID": .string(id), "Attributes": .map(attributes)], "scope": "swarm",
            "time": .integer(time.nanoseconds / 1_000_000_000), "timeNano": .integer(time.nanoseconds),
        ]
        return json.utf8 + [0x0a]
    }
}
