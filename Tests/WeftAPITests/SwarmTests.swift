import Testing
import WeftAPI
import WeftModel
import WeftNet
import WeftText

@Suite struct SwarmTests {
    private static let outside =
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."
    private static let onWorker =
        "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager."

    @Test func `init as the CLI sends it, and as SDKs send it`() async throws {
        try await withServer { client, backend async throws in
            let body = """
                {"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"172.29.0.1","DataPathAddr":"eth1","DataPathPort":7789,
                "ForceNewCluster":false,"Spec":{"Labels":null,"Orchestration":{},"Raft":{"ElectionTick":0,"HeartbeatTick":0},
                "Dispatcher":{},"CAConfig":{"NodeCertExpiry":172800000000000},"TaskDefaults":{},
                "EncryptionConfig":{"AutoLockManagers":false}},"AutoLockManagers":false,"Availability":"drain",
                "DefaultAddrPool":["10.20.0.0/16"],"SubnetSize":26}
                """
            let answer = try await client.send("POST", "/v1.41/swarm/init", body)
            #expect(answer.status == 200)
            #expect(try answer.json() == "ilvid9zat14ivlex8yuy7qccv")
            let sent = backend.read { $0.lastInit }
            #expect(sent?.listenAddress == nil && sent?.listenPort == 2377)
            #expect(sent?.advertiseAddress == IPv4Address("172.29.0.1").map(HostAddress.address))
            #expect(sent?.dataPathAddress == .interface("eth1") && sent?.availability == .drain)
            #expect(sent?.spec.addressPools.map(\.description) == ["10.20.0.0/16"] && sent?.spec.subnetLength == 26)
            #expect(sent?.spec.dataPathPort == 7789 && sent?.spec.certificateLifetimeSeconds == 172800)
            let again = try await client.send("POST", "/swarm/init", "{}")
            #expect(again.status == 503 && again.message?.hasPrefix("This node is already part of a swarm.") == true)
            #expect(try await client.send("POST", "/swarm/join", "{}").message == again.message)
        }
        try await withServer { client, backend async throws in
            let body = #"{"advertiseaddr":null,"LISTENADDR":"eth0:2400","forceNewCluster":false,"spec":{}}"#
            #expect(try await client.send("POST", "/swarm/init", body).status == 200)
            let sent = backend.read { $0.lastInit }
            #expect(sent?.listenAddress == .interface("eth0") && sent?.listenPort == 2400)
            #expect(sent?.advertiseAddress == nil && sent?.advertisePort == 2400)
            var spec = ClusterSpec()
            spec.defaultEncryption = true
            #expect(sent?.spec == spec)
        }
    }

    @Test(arguments: [
        (#""AdvertiseAddr":"172.29.0.1""#, 2400), (#""AdvertiseAddr":"172.29.0.1:2500""#, 2500),
        (#""AdvertiseAddr":"""#, 2400),
    ])
    func `the port that is advertised is the one listened on unless it is given`(
        advertise: String, port: UInt16
    ) async throws {
        let listen = #""ListenAddr":"0.0.0.0:2400""#
        try await withServer { client, backend async throws in
            #expect(try await client.send("POST", "/swarm/init", "{\(listen),\(advertise)}").status == 200)
            #expect(backend.read { $0.lastInit }?.advertisePort == port)
        }
        try await withServer { client, backend async throws in
            let target = #""JoinToken":"SWMTKN-1-x","RemoteAddrs":["172.29.0.9:2377"]"#
            _ = try await client.send("POST", "/swarm/join", "{\(listen),\(advertise),\(target)}")
            #expect(backend.read { $0.lastJoin }?.advertisePort == port)
        }
    }

    @Test(arguments: [
        (#"{"ListenAddr":"[::]:2377"}"#, 400, "IPv6"), (#"{"AdvertiseAddr":"1.2.3.4:0"}"#, 400, "port"),
        (#"{"AdvertiseAddr":"1.2.3.999"}"#, 400, "neither"), (#"{"DataPathAddr":"1.2.3.4:1"}"#, 400, "without a port"),
        (#"{"DataPathPort":70000}"#, 400, "no port"), (#"{"DefaultAddrPool":["fd00::/8"]}"#, 400, "IPv4"),
        (#"{"ForceNewCluster":true}"#, 501, "--force-new-cluster"),
        (#"{"Availability":"maybe"}"#, 400, "invalid Availability"),
        (#"{"Spec":{"Name":"mine"}}"#, 400, "swarm spec must be named \"default\""),
        (#"{"Spec":{"Raft":{"SnapshotInterval":-1}}}"#, 400, "Spec.Raft.SnapshotInterval must not be negative"),
        (#"{"Spec":{"CAConfig":{"NodeCertExpiry":5}}}"#, 400, "whole seconds"),
        (#"{"Spec":{"CAConfig":{"SigningCAKey":"x"}}}"#, 400, "signing CA cert must also"),
        (#"{"Spec":{"CAConfig":{"SigningCACert":"x"}}}"#, 400, "--ca-key"),
        (#"{"Spec":{"CAConfig":{"ExternalCAs":[{"URL":"x"}]}}}"#, 501, "--external-ca"),
    ])
    func `what init cannot do is refused, and the node stays outside`(body: String, status: Int, text: String)
        async throws
    {
        try await withServer { client, backend async throws in
            let answer = try await client.send("POST", "/swarm/init", body)
            #expect(answer.status == status && answer.message?.contains(text) == true, "\(answer.text)")
            #expect(try backend.swarmState().membership == .inactive)
        }
    }

    @Test func `join takes tokens and several managers`() async throws {
        try await withServer { client, backend async throws in
            #expect(try await client.send("POST", "/swarm/join", #"{"RemoteAddrs":["1.2.3.4"]}"#).status == 400)
            #expect(try await client.send("POST", "/swarm/join", #"{"JoinToken":"x","RemoteAddrs":[]}"#).status == 400)
            let body = #"{"JoinToken":"SWMTKN-1-a-b","RemoteAddrs":["1.2.3.4","m2:99"],"ListenAddr":"0.0.0.0:2377"}"#
            let answer = try await client.send("POST", "/swarm/join", body)
            #expect(answer.status == 200 && answer.body.isEmpty)
            let sent = backend.read { $0.lastJoin }
            #expect(sent?.token.exposed == "SWMTKN-1-a-b")
            #expect(sent?.remotes == [.init(host: "1.2.3.4", port: 2377), .init(host: "m2", port: 99)])
        }
    }

    @Test func `the swarm is shown and updated as Docker does it`() async throws {
        try await withServer { client, _ async throws in
            #expect(try await client.send("GET", "/swarm").message == Self.outside)
            _ = try await client.send("POST", "/swarm/init", "{}")
            let swarm = try await client.send("GET", "/swarm")
            let json = try swarm.json()
            #expect(json["Version"]?["Index"] == 10 && json["JoinTokens"]?["Worker"] == "SWMTKN-1-aa-ww")
            #expect(json["Spec"]?["Dispatcher"]?["HeartbeatPeriod"] == 5_000_000_000)
            #expect(json["Spec"]?["CAConfig"]?["NodeCertExpiry"] == 7_776_000_000_000_000)
            #expect(
                json["TLSInfo"]?["CertIssuerSubject"] == "AQID" && json["TLSInfo"]?["CertIssuerPublicKey"] == "BA==")
            #expect(json["CreatedAt"] == "2026-11-21T09:47:23.122615443Z" && json["DefaultAddrPool"] == ["10.0.0.0/8"])
            // The Spec as read goes back unchanged.
            guard let spec = json["Spec"] else {
                throw RawClient.Failure(reason: "no list or object where one is expected")
            }
            let text = String(decoding: spec.utf8, as: UTF8.self)
            let rotate = "rotateManagerToken=false&rotateManagerUnlockKey=False&rotateWorkerToken=True"
            #expect(try await client.send("POST", "/swarm/update?version=10&\(rotate)", text).status == 200)
            let rotated = try await client.send("GET", "/swarm").json()
            #expect(rotated["JoinTokens"] == ["Worker": "SWMTKN-1-aa-w2", "Manager": "SWMTKN-1-aa-mm"])
            #expect(rotated["Spec"] == spec)
            let stale = try await client.send("POST", "/swarm/update?version=10", text)
            #expect(stale.status == 500 && stale.message == "rpc error: code = Unknown desc = update out of sequence")
            #expect(try await client.send("POST", "/swarm/update?version=x", text).status == 400)
            #expect(try await client.send("GET", "/swarm/unlockkey").text == "{\"UnlockKey\":\"\"}\n")
        }
    }

    @Test func `settings that a spec leaves out are zero after an update, and as by default after init`() async throws {
        try await withServer { client, backend async throws in
            let spec = #"{"Spec":{"Labels":{"a":"b"},"Raft":{"SnapshotInterval":5000},"CAConfig":{"ForceRotate":7}}}"#
            _ = try await client.send("POST", "/swarm/init", spec)
            let first = try await client.send("GET", "/swarm").json()["Spec"]
            #expect(
                first?["Raft"] == [
                    "SnapshotInterval": 5000, "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 500,
                    "ElectionTick": 10, "HeartbeatTick": 1,
                ])
            #expect(first?["CAConfig"] == ["NodeCertExpiry": 7_776_000_000_000_000, "ForceRotate": 7])
            #expect(first?["Orchestration"] == ["TaskHistoryRetentionLimit": 5] && first?["Labels"] == ["a": "b"])
            let update = #"{"Raft":{"LogEntriesForSlowFollowers":9},"EncryptionConfig":{"AutoLockManagers":true}}"#
            let answer = try await client.send("POST", "/swarm/update?version=10&rotateManagerUnlockKey=1", update)
            #expect(answer.status == 200)
            let second = try await client.send("GET", "/swarm").json()["Spec"]
            #expect(
                second?["Raft"] == [
                    "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 9, "ElectionTick": 0, "HeartbeatTick": 0,
                ])
            #expect(second?["CAConfig"] == [:] && second?["Dispatcher"] == [:] && second?["Labels"] == [:])
            #expect(second?["EncryptionConfig"] == ["AutoLockManagers": true, "DefaultEncryption": true])
            #expect(backend.read { $0.lastRotation }?.keys == false)
            #expect(backend.read { $0.lastRotation }?.unlockKey == true)
            let own = #"{"CAConfig":{"SigningCACert":"c","SigningCAKey":"k"}}"#
            #expect(try await client.send("POST", "/swarm/update?version=11", own).status == 200)
            let root = backend.read { $0.lastRotation }?.signingCA
            #expect(root?.certificatePEM == "c" && root?.keyPEM.exposed == "k")
        }
    }

    @Test func `what is said of the data path's encryption outlives updates by clients that do not know it`() async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", #"{"Spec":{"EncryptionConfig":{"DefaultEncryption":true}}}"#)
            #expect(
                try await client.send("GET", "/swarm").json()["Spec"]?["EncryptionConfig"]
                    == ["AutoLockManagers": false, "DefaultEncryption": true])
            let version = try #require(backend.read { $0.swarm.cluster?.version.index })
            let dockers = #"{"Labels":{},"EncryptionConfig":{"AutoLockManagers":false}}"#
            #expect(try await client.send("POST", "/swarm/update?version=\(version)", dockers).status == 200)
            let hourly = #"{"EncryptionConfig":{"DefaultEncryption":false,"KeyRotation":3600000000000}}"#
            #expect(try await client.send("GET", "/swarm").json()["Spec"]?["EncryptionConfig"]?["DefaultEncryption"] == true)
            let next = try #require(backend.read { $0.swarm.cluster?.version.index })
            #expect(try await client.send("POST", "/swarm/update?version=\(next)&rotateDataPathKeys=true", hourly).status == 200)
            #expect(
                try await client.send("GET", "/swarm").json()["Spec"]?["EncryptionConfig"]
                    == ["AutoLockManagers": false, "DefaultEncryption": false, "KeyRotation": 3_600_000_000_000])
            #expect(backend.read { $0.lastRotation }?.keys == true)
            let keys = try await client.send("GET", "/weft/v1/swarm/keys").json()
            #expect(keys["Epoch"] == 1 && keys["RotationSeconds"] == 3600 && keys["EncryptedNetworks"] == 0)
        }
    }

    @Test func `a locked manager wants its key before all else`() async throws {
        try await withServer { client, backend async throws in
            #expect(try await client.send("POST", "/swarm/unlock", #"{"UnlockKey":"k"}"#).message == Self.outside)
            _ = try await client.send("POST", "/swarm/init", "{}")
            let open = try await client.send("POST", "/swarm/unlock", #"{"UnlockKey":"k"}"#)
            #expect(open.status == 409 && open.message == "swarm is not locked")
            backend.lock(with: "k")
            for (method, path) in [("GET", "/swarm"), ("GET", "/nodes"), ("GET", "/swarm/unlockkey"), ("GET", "/tasks")] {
                let answer = try await client.send(method, path)
                #expect(answer.status == 503 && answer.message?.hasPrefix("Swarm is encrypted and needs") == true)
            }
            #expect(try await client.send("GET", "/info").json()["Swarm"]?["LocalNodeState"] == "locked")
            let wrong = try await client.send("POST", "/swarm/unlock", #"{"UnlockKey":"x"}"#)
            #expect(wrong.message == "swarm could not be unlocked: invalid key provided")
            #expect(try await client.send("POST", "/swarm/unlock", #"{"UnlockKey":"k"}"#).status == 200)
            #expect(try await client.send("GET", "/swarm").status == 200)
        }
    }

    @Test func `leaving says why it cannot`() async throws {
        try await withServer { client, _ async throws in
            #expect(try await client.send("POST", "/swarm/leave?force=1").status == 503)
            _ = try await client.send("POST", "/swarm/init", "{}")
            let last = try await client.send("POST", "/swarm/leave")
            #expect(last.status == 503 && last.message?.hasSuffix("Use `--force` to ignore this message.") == true)
            #expect(try await client.send("POST", "/swarm/leave?force=True").status == 200)
            #expect(try await client.send("GET", "/nodes").message == Self.outside)
        }
    }

    @Test func `info tells of the swarm`() async throws {
        try await withServer { client, _ async throws in
            #expect(try await client.send("GET", "/info").json()["Swarm"]?["LocalNodeState"] == "inactive")
            _ = try await client.send("POST", "/swarm/init", "{}")
            let info = try await client.send("GET", "/info").json()
            #expect(info["Name"] == "host1" && info["NCPU"] == 2 && info["KernelVersion"] == "6.18.0")
            let swarm = info["Swarm"]
            #expect(swarm?["NodeID"] == "ilvid9zat14ivlex8yuy7qccv" && swarm?["ControlAvailable"] == true)
            #expect(swarm?["RemoteManagers"] == [["NodeID": "ilvid9zat14ivlex8yuy7qccv", "Addr": "172.30.0.1:2377"]])
            #expect(swarm?["Nodes"] == 1 && swarm?["Managers"] == 1 && swarm?["Cluster"]?["JoinTokens"] == nil)
            let version = try await client.send("GET", "/version").json()
            #expect(version["ApiVersion"] == "1.41" && version["MinAPIVersion"] == "1.24" && version["Arch"] == "amd64")
        }
    }

    @Test func `nodes are found, updated and removed`() async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            backend.addWorker()
            backend.read { $0.nodes[1].description?.engineLabels = ["disk": "ssd"] }
            let own = try await client.send("GET", "/nodes/self").json()
            #expect(own["ManagerStatus"] == ["Leader": true, "Reachability": "reachable", "Addr": "172.30.0.1:2377"])
            #expect(own["Spec"] == ["Labels": [:], "Role": "manager", "Availability": "active"])
            #expect(own["Status"] == ["State": "ready", "Addr": "172.30.0.1"])
            let worker = try await client.send("GET", "/nodes/host2").json()
            #expect(worker["ID"] == "zzvid9zat14ivlex8yuy7qccv" && worker["ManagerStatus"] == nil)
            #expect(try await client.send("GET", "/nodes/zzv").json() == worker)
            #expect(worker["Description"]?["Engine"]?["Labels"] == ["disk": "ssd"] && own["Description"]?["Engine"]?["Labels"] == nil)
            let missing = try await client.send("GET", "/nodes/host3")
            #expect(missing.status == 404 && missing.message == "node host3 not found")
            for (filter, count) in [
                (#"{"role":{"worker":true}}"#, 1), (#"{"name":["host"]}"#, 2),
                (#"{"id":["zz"],"role":["manager"]}"#, 0), (#"{"label":["disk"]}"#, 1), (#"{"label":["disk=ssd","other"]}"#, 0),
            ] {
                let encoded = filter.utf8.map { "%" + (String($0, radix: 16)) }.joined()
                guard case .array(let list) = try await client.send("GET", "/nodes?filters=\(encoded)").json() else {
                    Issue.record("no list")
                    continue
                }
                #expect(list.count == count, "\(filter)")
            }
            #expect(try await client.send("GET", "/nodes?filters=%7B%22x%22:%5B%5D%7D").status == 400)
            let king = try await client.send("GET", "/nodes?filters=%7B%22role%22:%5B%22king%22%5D%7D")
            #expect(king.status == 400 && king.message == "Invalid role filter: 'king'")
            let spec = #"{"Labels":{"zone":"a"},"Role":"worker","Availability":"drain"}"#
            #expect(try await client.send("POST", "/nodes/host2/update?version=9", spec).status == 200)
            #expect(try await client.send("POST", "/nodes/host2/update?version=9", spec).status == 500)
            #expect(try await client.send("GET", "/nodes/host2").json()["Spec"]?["Labels"] == ["zone": "a"])
            #expect(try await client.send("POST", "/nodes/host2/update?version=11", #"{"Role":"king"}"#).status == 400)
            #expect(try await client.send("DELETE", "/nodes/host2").status == 400)
            #expect(try await client.send("DELETE", "/nodes/host2?force=1").status == 200)
            #expect(try await client.send("GET", "/nodes/host2").status == 404)
        }
    }

    @Test func `what needs a manager says so on a worker`() async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            backend.becomeWorker()
            let create = #"{"Name":"n","Driver":"overlay"}"#
            for (method, path) in [
                ("GET", "/swarm"), ("GET", "/nodes"), ("POST", "/networks/create"), ("GET", "/services"),
                ("GET", "/tasks"), ("GET", "/secrets"), ("GET", "/configs"), ("GET", "/swarm/unlockkey"),
            ] {
                let answer = try await client.send(method, path, method == "POST" ? create : nil)
                #expect(answer.status == 503 && answer.message == Self.onWorker, "\(path)")
            }
            #expect(try await client.send("GET", "/networks").status == 200)
        }
    }

    @Test func `where nothing was made, services, tasks, secrets and configs are empty`() async throws {
        try await withServer { client, _ async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            for kind in ["service", "task", "secret", "config"] {
                #expect(try await client.send("GET", "/\(kind)s?filters=%7B%7D").text == "[]\n")
                let missing = try await client.send("GET", "/\(kind)s/x")
                #expect(missing.status == 404 && missing.message == "\(kind) x not found")
            }
            #expect(try await client.send("GET", "/distribution/a/b/nginx:latest/json").status == 404)
        }
    }
}
