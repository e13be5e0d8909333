import NIOCore
import NIOHTTP1
package import WeftModel
package import WeftText

/// A container of a service's task, as the engine shows it.
package struct EngineTask: Decodable, Sendable {
    package struct Condition: Decodable, Sendable {
        package struct Check: Decodable, Sendable {
            package struct Run: Decodable, Sendable { package let Start: String? }
            package let Status: String?
            package let Log: [Run]?
        }
        package let Status: String
        package let ExitCode: Int?
        package let Error: String?
        package let Pid: Int?
        /// Nil: nothing checks it.
        package let Health: Check?
    }
    package struct Configuration: Decodable, Sendable {
        package struct Check: Decodable, Sendable { package let Interval: Int64? }
        package let Labels: [String: String]?
        package let Healthcheck: Check?
    }
    package struct Settings: Decodable, Sendable {
        package struct Binding: Decodable, Sendable { package let HostPort: String? }
        package let Ports: [String: [Binding]?]?
    }

    package let Id: String
    package let State: Condition
    package let Config: Configuration
    package let NetworkSettings: Settings?

    package var isRunning: Bool { ["running", "paused", "restarting"].contains(State.Status) }
    package var isCreated: Bool { State.Status == "created" }
    /// When it was last looked at how it is.
    package var lastCheck: String? { State.Health?.Log?.compactMap(\.Start).max() }
    /// Between one look and the next.
    package var checkInterval: Duration {
        let nanoseconds = Config.Healthcheck?.Interval ?? 0
        return nanoseconds > 0 ? .nanoseconds(nanoseconds) : .seconds(30)
    }
}

/// Containers that weftd has the engine make for tasks.
extension Engine {
    /// Returns its id.
    package func createContainer(name: String, _ body: JSON) async throws -> String {
        struct Created: Decodable { let Id: String }
        let created: Created = try decode(
            try await call(.POST, "/containers/create?name=\(name.percentEncoded)", body: body.utf8))
        return created.Id
    }

    package func connect(_ container: String, to network: String, _ settings: JSON) async throws {
        let body: JSON = ["Container": .string(container), "EndpointConfig": settings]
        _ = try await call(.POST, "/networks/\(network.percentEncoded)/connect", body: body.utf8)
    }

    package func startContainer(_ id: String) async throws { _ = try await call(.POST, "/containers/\(id)/start") }

    /// Its stop signal, and the end by force after so many seconds.
    package func stopContainer(_ id: String, seconds: Int64) async throws {
        _ = try await call(.POST, "/containers/\(id)/stop?t=\(seconds)")
    }

    /// With its anonymous volumes; one that is gone already is as well.
    package func removeContainer(_ id: String) async throws {
        do { _ = try await call(.DELETE, "/containers/\(id)?force=1&v=1") } catch let error as EngineError
            where error.status == 404
        {}
    }

    /// Returns once it does not run.
    package func waitForContainer(_ id: String) async throws {
        _ = try await call(.POST, "/containers/\(id)/wait?condition=not-running")
    }

    /// Nil when it is gone.
    package func task(_ id: String) async throws -> EngineTask? {
        do { return try decode(try await call(.GET, "/containers/\(id)/json")) } catch let error as EngineError
            where error.status == 404
        { return nil }
    }

    /// Ids of all containers with the label, running or not.
    package func containers(labelled label: String) async throws -> [String] {
        struct Summary: Decodable { let Id: String }
        let filters = Self.filters(["label": [label]])
        let all: [Summary] = try decode(try await call(.GET, "/containers/json?all=1&filters=\(filters)"))
        return all.map(\.Id)
    }

    /// Has the engine get an image. It says what went wrong in its answer, after the head.
    ///
    /// - Parameter credentials: what the image's registry is to be shown, as `X-Registry-Auth` has it.
    package func pull(_ image: String, credentials: Secret?) async throws {
        var name = image
        // Without a tag the engine gets all there are.
        let last = image.split(separator: "/").last ?? ""
        if !last.contains(":"), !image.contains("@") { name += ":latest" }
        let headers = credentials.map { HTTPHeaders([("X-Registry-Auth", $0.exposed)]) } ?? [:]
        let answer = try await call(.POST, "/images/create?fromImage=\(name.percentEncoded)", headers: headers)
        for line in answer.body.split(separator: 0x0a) {
            guard let json = try? JSON(parsing: Array(line)), case .string(let reason)? = json["error"] else { continue }
            throw EngineError.refused(status: 500, message: reason)
        }
    }

    /// Has podman run a container's health check.
    package func checkHealth(of id: String) async throws { _ = try await call(.GET, "/v4.0.0/libpod/containers/\(id)/healthcheck") }

    /// Calls `changed` when the health of a container may be another one. Returns when the engine ends the stream.
    package func followHealth(of id: String, changed: () async -> Void) async throws {
        let filters = Self.filters(["container": [id], "event": ["health_status"]])
        try await client.stream(.GET, "/events?filters=\(filters)") { head, _ in
            if head.status == .ok { await changed() }
        }
    }
}
