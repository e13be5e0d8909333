// The local container engine as Weft sees it: its networks and containers, its events, and the shadows of the swarm's networks in it.
// The engine may be away, silent or another one the next moment: every call says which (`EngineError`), and none waits longer than
// it was told to.
import FoundationEssentials
import NIOCore
import NIOHTTP1
import WeftJSON
import WeftModel
import WeftNet
import WeftText

/// The verbs of the local engine that Weft itself uses. They throw `EngineError`.
package struct Engine: Sendable {
    package let client: EngineClient
    /// How long each call waits; nil: as long as the engine holds the connection.
    private(set) var limit: Duration?

    package init(socketPath: String) { client = EngineClient(socketPath: socketPath) }

    /// The same engine, which is given up after `limit` with `EngineError.silent`.
    package func limited(to limit: Duration) -> Engine {
        var engine = self
        engine.limit = limit
        return engine
    }

    /// All of the engine's networks that stand for one of the cluster's, those that a user made by hand among them.
    package func shadows() async throws -> [EngineNetwork] {
        try decode(try await call(.GET, "/networks?filters=\(Self.filters(["driver": [ShadowNetworks.driver]]))"))
    }

    package func networks() async throws -> [EngineNetwork] { try decode(try await call(.GET, "/networks")) }

    /// Nil when there is none of that name or id.
    package func network(_ name: String) async throws -> EngineNetwork? {
        do { return try decode(try await call(.GET, "/networks/\(name.percentEncoded)")) } catch let error
            as EngineError where error.status == 404
        { return nil }
    }

    /// All containers, running or not.
    package func containers() async throws -> [EngineContainerSummary] {
        try decode(try await call(.GET, "/containers/json?all=1"))
    }

    /// Nil when it is gone.
    package func container(_ id: String) async throws -> EngineContainer? {
        do { return try decode(try await call(.GET, "/containers/\(id.percentEncoded)/json")) } catch let error
            as EngineError where error.status == 404
        { return nil }
    }

    /// Makes the network that stands for `network` on this engine, and returns its id there.
    func createShadow(of network: Network) async throws -> String {
        struct Config: Encodable { let Subnet, Gateway: String }
        struct IPAM: Encodable {
            let Driver: String
            let Config: [Config]
            let Options: [String: String]
        }
        struct Body: Encodable {
            let Name, Driver: String
            let CheckDuplicate = true
            let Internal, EnableIPv6: Bool
            let IPAM: IPAM
            let Options, Labels: [String: String]
        }
        struct Created: Decodable { let Id: String }
        let reference = [ShadowNetworks.option: network.id.rawValue]
        let body = Body(
            Name: network.spec.name, Driver: "weft", Internal: network.spec.isInternal,
            EnableIPv6: network.spec.ipv6,
            IPAM: IPAM(
                Driver: "weft",
                Config: network.subnets.compactMap { id in
                    guard let subnet = network.subnet(id.family), let gateway = network.gateway(id.family) else { return nil }
                    return Config(Subnet: subnet.description, Gateway: gateway.description)
                },
                Options: reference),
            Options: reference, Labels: [ShadowNetworks.label: network.id.rawValue])
        let created: Created = try decode(try await call(.POST, "/networks/create", body: Array(try JSONEncoder().encode(body))))
        return created.Id
    }

    /// Makes the bridge by which containers on overlays reach the outside, as Docker does when it joins a swarm. One that is
    /// there already is kept.
    package func ensureGatewayBridge() async throws {
        guard try await network(Self.gatewayBridge) == nil else { return }
        struct Body: Encodable {
            let Name = Engine.gatewayBridge
            let Driver = "bridge"
            let CheckDuplicate = true
            let Options = [
                "com.docker.network.bridge.name": Engine.gatewayBridge, "com.docker.network.bridge.enable_icc": "false",
                "com.docker.network.bridge.enable_ip_masquerade": "true",
            ]
        }
        do { _ = try await call(.POST, "/networks/create", body: Array(try JSONEncoder().encode(Body()))) } catch let error
            as EngineError where error.status == 409
        {}
    }

    package static let gatewayBridge = "docker_gwbridge"

    /// Removes a network; one that is gone already is as well.
    func removeNetwork(_ id: String) async throws {
        do { _ = try await call(.DELETE, "/networks/\(id.percentEncoded)") } catch let error as EngineError
            where error.status == 404
        {}
    }

    /// The version of its API, `1.41`.
    package func apiVersion() async throws -> String {
        let answer = try await call(.GET, "/_ping")
        return answer.headers.first(name: "Api-Version") ?? "1.24"
    }

    /// Follows what happens to containers and networks. Returns when the engine ends the stream.
    func events(opened: () async -> Void, each: (EngineEvent) async -> Void) async throws {
        var line: [UInt8] = []
        let path = "/events?filters=\(Self.filters(["type": ["container", "network"]]))"
        let head = try await client.stream(.GET, path) { head, chunk in
            guard head.status == .ok else { return }
            if chunk.readableBytes == 0 { await opened() }
            for byte in chunk.readableBytesView {
                if byte == 0x0a {
                    if let event = try? JSONText.decode(EngineEvent.self, from: line) { await each(event) }
                    line.removeAll(keepingCapacity: true)
                } else {
                    line.append(byte)
                }
            }
        }
        guard head.status == .ok else {
            throw EngineError.refused(status: Int(head.status.code), message: "the engine gives no events")
        }
    }

    // MARK: Requests

    func call(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:], body: [UInt8]? = nil
    ) async throws -> EngineResponse {
        let response = try await client.request(method, path, headers: headers, body: body, within: limit)
        guard response.status < 400 else {
            struct Failure: Decodable { let message: String }
            let message = try? JSONText.decode(Failure.self, from: response.body).message
            throw EngineError.refused(
                status: response.status, message: message ?? "the container engine answered with status \(response.status)")
        }
        return response
    }

    func decode<Value: Decodable>(_ response: EngineResponse) throws -> Value {
        do { return try JSONText.decode(Value.self, from: response.body) } catch {
            throw EngineError.broken(reason: "it is not what the Engine API says (\(error))")
        }
    }

    static func filters(_ wanted: [String: [String]]) -> String {
        let filters = wanted.sorted { $0.key < $1.key }.map { key, values in
            (key, JSON.object(values.map { ($0, true) }))
        }
        return JSON.object(filters).text.percentEncoded
    }
}
