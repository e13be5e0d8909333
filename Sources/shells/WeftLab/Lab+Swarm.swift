import FoundationEssentials
import NIOHTTP1
import WeftClient

extension Lab {
    /// Makes the hosts, starts weftd and then the engine on each, and joins them into one swarm with host 1 as its manager.
    package func up(
        hosts count: Int, engine: LabEngine? = nil, engineExecutable: String? = nil, swarm: Bool = true
    ) async throws {
        try make(hosts: count, engine: engine, engineExecutable: engineExecutable)
        let hosts = hosts()
        for host in hosts { try host.daemon.start() }
        for host in hosts { try host.daemon.wait() }
        if engine != nil {
            try await withThrowingTaskGroup { group in
                for host in hosts { group.addTask { @concurrent in try host.startEngine() } }
                try await group.waitForAll()
            }
        }
        guard swarm, let first = hosts.first else { return }
        let token = try await first.makeSwarm()
        try await withThrowingTaskGroup { group in
            for host in hosts.dropFirst() { group.addTask { try await host.joinSwarm(of: first, token: token) } }
            try await group.waitForAll()
        }
        try await first.waitForNodes(hosts.count)
    }
}

extension LabHost {
    private struct InitRequest: Encodable {
        var ListenAddr = "0.0.0.0:2377"
        var AdvertiseAddr: String
    }

    private struct JoinRequest: Encodable {
        var ListenAddr = "0.0.0.0:2377"
        var AdvertiseAddr: String
        var RemoteAddrs: [String]
        var JoinToken: String
    }

    private struct Swarm: Decodable {
        struct Tokens: Decodable { var Worker: String }
        var JoinTokens: Tokens
    }

    /// Returns the token that workers join with.
    fileprivate func makeSwarm() async throws -> String {
        try await post("/swarm/init", InitRequest(AdvertiseAddr: address))
        do {
            return try await WeftClient(host: socket).call(.GET, "/swarm").decode(Swarm.self).JoinTokens.Worker
        } catch {
            throw LabError.swarm(host: name, reason: "\(error)")
        }
    }

    fileprivate func joinSwarm(of manager: LabHost, token: String) async throws {
        try await post(
            "/swarm/join",
            JoinRequest(AdvertiseAddr: address, RemoteAddrs: ["\(manager.address):2377"], JoinToken: token))
    }

    private struct Node: Decodable {
        struct Status: Decodable { var State: String }
        var Status: Status
    }

    /// Returns once the manager sees this many nodes ready.
    fileprivate func waitForNodes(_ count: Int) async throws {
        let deadline = ContinuousClock.now + .seconds(30 + count)
        while true {
            var ready = 0
            do {
                let nodes = try await WeftClient(host: socket).call(.GET, "/nodes").decode([Node].self)
                ready = nodes.filter { $0.Status.State == "ready" }.count
            } catch {
                throw LabError.swarm(host: name, reason: "\(error)")
            }
            if ready >= count { return }
            guard ContinuousClock.now < deadline else {
                throw LabError.swarm(host: name, reason: "only \(ready) of \(count) nodes became ready")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private func post(_ path: String, _ body: some Encodable) async throws {
        do {
            _ = try await WeftClient(host: socket).call(.POST, path, body: Array(JSONEncoder().encode(body)))
        } catch {
            throw LabError.swarm(host: name, reason: "\(error)")
        }
    }
}
