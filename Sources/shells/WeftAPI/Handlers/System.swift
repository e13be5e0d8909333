import NIOHTTP1
import WeftEngine
import WeftHTTP
import WeftModel
import WeftNet
import WeftText

extension Router {
    func ping(_ request: APIRequest) async throws -> APIResponse {
        let standing = backend.swarmStanding()
        let swarm =
            standing.membership == .active
            ? "active/\(standing.isManager ? "manager" : "worker")" : standing.membership.rawValue
        if case .answer(let answer) = try await hear(request), answer.status == 200 {
            engine?.apiVersion = answer.headers.first(name: "Api-Version")
            var response = APIResponse(answer)
            response.headers.replaceOrAdd(name: "Swarm", value: swarm)
            return response
        }
        return APIResponse(
            status: .ok,
            headers: [
                "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache, no-store, must-revalidate",
                "Pragma": "no-cache", "Swarm": swarm,
            ], body: .whole(Array("OK".utf8)))
    }

    func version(_ request: APIRequest) async throws -> APIResponse {
        var name = "Weft"
        switch try await hear(request) {
        case .answer(let answer): return APIResponse(answer)
        case .absent: break
        case .silent(let error): name += " (\(error))"
        }
        let host = await backend.hostInformation()
        let version = host.description.weftVersion
        return .json([
            "Platform": ["Name": .string(name)],
            "Components": [
                [
                    "Name": "Engine", "Version": .string(version),
                    "Details": [
                        "ApiVersion": .string("\(APIVersion.newest)"), "MinAPIVersion": .string("\(APIVersion.oldest)"),
                        "Os": "linux", "Arch": .string(goArchitecture(host.description.architecture)),
                        "KernelVersion": .string(host.kernelVersion), "Experimental": "false", "BuildTime": "",
                        "GitCommit": "", "GoVersion": "",
                    ],
                ]
            ],
            "Version": .string(version), "ApiVersion": .string("\(APIVersion.newest)"),
            "MinAPIVersion": .string("\(APIVersion.oldest)"), "GitCommit": "", "GoVersion": "", "Os": "linux",
            "Arch": .string(goArchitecture(host.description.architecture)),
            "KernelVersion": .string(host.kernelVersion), "BuildTime": "",
        ])
    }

    /// Docker's `/info` as far as it is true without an engine: no containers, no images, no storage driver.
    func info(_ request: APIRequest) async throws -> APIResponse {
        let state = try await backend.swarmState()
        let snapshot = try await backend.clusterSnapshot()
        var warnings: [String] = []
        switch try await hear(request) {
        case .answer(let answer):
            guard var info = answer.json else { return APIResponse(answer) }
            info.set("Swarm", Self.swarmInfo(state, peers: snapshot.peers))
            return APIResponse(answer, body: info.utf8 + [0x0a])
        case .absent: break
        case .silent(let error): warnings.append("WARNING: \(error): its containers, images and networks are not shown")
        }
        let host = await backend.hostInformation()
        return .json([
            "ID": .string(state.nodeID?.rawValue ?? ""), "Containers": 0, "ContainersRunning": 0, "ContainersPaused": 0,
            "ContainersStopped": 0, "Images": 0, "Driver": "", "DriverStatus": [],
            "Plugins": ["Volume": [], "Network": ["overlay"], "Authorization": .null, "Log": []],
            "MemoryLimit": true, "SwapLimit": true, "CpuCfsPeriod": true, "CpuCfsQuota": true, "CPUShares": true,
            "CPUSet": true, "PidsLimit": true, "IPv4Forwarding": true, "BridgeNfIptables": true,
            "BridgeNfIp6tables": true, "Debug": false, "OomKillDisable": false, "NFd": 0, "NGoroutines": 0,
            "SystemTime": "", "LoggingDriver": "", "CgroupDriver": "none", "NEventsListener": 0,
            "KernelVersion": .string(host.kernelVersion), "OperatingSystem": .string(host.operatingSystem),
            "OSVersion": .string(host.operatingSystemVersion), "OSType": "linux",
            "Architecture": .string(host.description.architecture), "IndexServerAddress": "", "RegistryConfig": .null,
            "NCPU": .integer(host.description.nanoCPUs / 1_000_000_000),
            "MemTotal": .integer(host.description.memoryBytes),
            "GenericResources": .null, "DockerRootDir": .string(host.stateDirectory), "HttpProxy": "", "HttpsProxy": "",
            "NoProxy": "", "Name": .string(host.description.hostname), "Labels": [], "ExperimentalBuild": false,
            "ServerVersion": .string(host.description.weftVersion), "Runtimes": [:], "DefaultRuntime": "",
            "Swarm": Self.swarmInfo(state, peers: snapshot.peers), "LiveRestoreEnabled": true, "Isolation": "",
            "InitBinary": "", "ContainerdCommit": ["ID": "", "Expected": ""], "RuncCommit": ["ID": "", "Expected": ""],
            "InitCommit": ["ID": "", "Expected": ""], "SecurityOptions": [], "Warnings": .strings(warnings),
        ])
    }

    /// `Swarm` of `/info`.
    private static func swarmInfo(_ state: SwarmState, peers: [Peer]) -> JSON {
        let managers = state.managers.sorted { $0.node < $1.node }
        var swarm: JSON = [
            "NodeID": .string(state.nodeID?.rawValue ?? ""),
            "NodeAddr": .string(state.nodeAddress?.description ?? ""),
            "LocalNodeState": .string(state.membership.rawValue), "ControlAvailable": .bool(state.isManager),
            "Error": .string(state.error),
            "RemoteManagers": managers.isEmpty
                ? .null
                : .array(managers.map { ["NodeID": .string($0.node.rawValue), "Addr": .string($0.address)] }),
        ]
        if state.isManager, let cluster = state.cluster {
            swarm.append("Nodes", .integer(Int64(peers.count)))
            swarm.append("Managers", .integer(Int64(managers.count)))
            swarm.append("Cluster", clusterJSON(cluster, state: state))
        }
        return swarm
    }

    /// How long a registry is waited for before a service is made with an image's tag alone.
    private static let registryPatience = Duration.seconds(5)

    /// What an image's tag stands for now. The docker command asks before it makes a service, so that all nodes run the same; with any
    /// other answer than a digest it goes on with the tag.
    func distribution(_ request: APIRequest) async throws -> APIResponse {
        guard request.path.count >= 3, request.path.last == "json" else { throw APIError.pageNotFound }
        let image = request.path.dropFirst().dropLast().joined(separator: "/")
        func unknown(_ reason: String) -> APIError { .notFound("the digest of \(image) is not known: \(reason)") }
        guard let engine else { throw unknown(APIError.noEngine.message) }
        do {
            // The engine asks the registry: that it takes long says nothing of the engine.
            let late = unknown("its registry does not answer within \(Self.registryPatience)")
            return APIResponse(try await limited(to: Self.registryPatience, late: late) { try await ask(engine, request) })
        } catch let error as EngineError { throw unknown("\(error)") }
    }

    func status(_ request: APIRequest) async throws -> APIResponse {
        .json(statusJSON(try await backend.status()))
    }
}

/// The architecture in Go's words, which `docker version` prints.
private func goArchitecture(_ machine: String) -> String {
    switch machine {
    case "x86_64": "amd64"
    case "aarch64": "arm64"
    default: machine
    }
}
