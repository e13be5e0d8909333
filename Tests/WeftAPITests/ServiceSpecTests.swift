import Testing
import WeftAPI
import WeftModel
import WeftText

/// Bodies that clients send, and what they read back.
@Suite struct ServiceSpecTests {
    /// Makes a service, and returns it as it is shown.
    private static func roundTrip(_ body: String, query: String = "") async throws -> (shown: JSON, kept: ServiceSpec) {
        let box = Box<(JSON, ServiceSpec)>()
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            _ = try await client.send("POST", "/networks/create", #"{"Name":"st_n1","Driver":"overlay"}"#)
            _ = try await client.send("POST", "/secrets/create", #"{"Name":"key","Data":"eA=="}"#)
            _ = try await client.send("POST", "/configs/create", #"{"Name":"conf","Data":"eA=="}"#)
            let network = backend.read { $0.snapshot.networks.first?.id.rawValue ?? "" }
            let (secret, config) = backend.read { ($0.secrets.first?.id ?? "", $0.configs.first?.id ?? "") }
            func filled(_ text: String) -> String {
                text.replacing("NETWORK", with: network).replacing("SECRET", with: secret).replacing("CONFIG", with: config)
            }
            let created = try await client.send("POST", "/v1.41/services/create", filled(body))
            #expect(created.status == 201, "\(created.text)")
            guard case .string(let id)? = try created.json()["ID"], let spec = backend.read({ $0.services.first?.spec }) else { return }
            let shown = try await client.send("GET", "/services/\(id)\(query)").text
            // Ids that are drawn are as they were in the body.
            let plain = shown.replacing(network, with: "NETWORK").replacing(secret, with: "SECRET").replacing(config, with: "CONFIG")
            box.value = (try JSON.parse(Array(plain.utf8)), spec)
        }
        return try #require(box.value)
    }

    private static func parsed(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8)) }

    @Test func `a service as the CLI makes it`() async throws {
        let (shown, kept) = try await Self.roundTrip(
            """
            {"Name":"svc1","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"bb:latest","Args":["sleep","3600"],"Env":["X=1"],
            "Init":false,"Mounts":[{"Type":"tmpfs","Target":"/t"}],"DNSConfig":{}},"Resources":{"Limits":{},"Reservations":{}},
            "Placement":{},"Networks":[{"Target":"NETWORK"}],"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":2}},
            "EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8088,"PublishMode":"ingress"}]}}
            """)
        let expected = try Self.parsed(
            """
            {"Name":"svc1","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"bb:latest","Args":["sleep","3600"],"Env":["X=1"],
            "Init":false,"Mounts":[{"Type":"tmpfs","Target":"/t"}],"DNSConfig":{},"Isolation":"default"},
            "Resources":{"Limits":{},"Reservations":{}},"Placement":{},"Networks":[{"Target":"NETWORK"}],"ForceUpdate":0,
            "Runtime":"container"},"Mode":{"Replicated":{"Replicas":2}},
            "EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8088,"PublishMode":"ingress"}]}}
            """)
        #expect(shown["Spec"] == expected, "\(shown["Spec"]?.text ?? "")")
        #expect(shown["Endpoint"] == ["Spec": [:]])
        #expect(kept.mode == .replicated(2) && kept.task.restart == nil && kept.update == nil)
    }

    @Test func `a service of a stack names its network, and gets the id`() async throws {
        let (shown, kept) = try await Self.roundTrip(
            """
            {"Name":"st_web","Labels":{"com.docker.stack.image":"bb","com.docker.stack.namespace":"st"},"TaskTemplate":{"ContainerSpec":
            {"Image":"bb","Labels":{"com.docker.stack.namespace":"st"},"Privileges":{"CredentialSpec":null,"SELinuxContext":null,
            "NoNewPrivileges":false},"Secrets":[{"File":{"Name":"key","UID":"0","GID":"0","Mode":292},"SecretID":"SECRET",
            "SecretName":"key"}]},"Resources":{},"Placement":{},"Networks":[{"Target":"st_n1","Aliases":["web"]}],"ForceUpdate":0},
            "Mode":{"Replicated":{"Replicas":1}},"EndpointSpec":{}}
            """)
        let task = shown["Spec"]?["TaskTemplate"]
        #expect(task?["Networks"] == [["Target": "NETWORK", "Aliases": ["web"]]])
        let privileges = try Self.parsed(#"{"CredentialSpec":null,"SELinuxContext":null,"NoNewPrivileges":false}"#)
        #expect(task?["ContainerSpec"]?["Privileges"] == privileges)
        let secrets = try Self.parsed(
            #"[{"File":{"Name":"key","UID":"0","GID":"0","Mode":292},"SecretID":"SECRET","SecretName":"key"}]"#)
        #expect(task?["ContainerSpec"]?["Secrets"] == secrets)
        #expect(shown["Spec"]?["EndpointSpec"] == ["Mode": "vip"] && kept.labels["com.docker.stack.namespace"] == "st")
    }

    /// All that can be said, in the order in which Docker prints it.
    private static let full = """
        {"Name":"all","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"bb","Labels":{"c":"d"},"Command":["c"],"Args":["x"],
        "Hostname":"{{.Task.Slot}}","Env":["A=1"],"Dir":"/w","User":"1:2","Groups":["adm"],"Privileges":{"CredentialSpec":null,
        "SELinuxContext":{"Disable":true,"User":"u","Role":"r","Type":"t","Level":"l"},"Seccomp":{"Mode":"custom","Profile":"e30="},
        "AppArmor":{"Mode":"disabled"},"NoNewPrivileges":true},"Init":true,"StopSignal":"SIGINT","TTY":true,"OpenStdin":true,
        "ReadOnly":true,"Mounts":[{"Type":"bind","Source":"/s","Target":"/d","ReadOnly":true,"Consistency":"cached",
        "BindOptions":{"Propagation":"rslave","NonRecursive":true,"CreateMountpoint":true}},{"Type":"volume","Source":"v","Target":"/v",
        "VolumeOptions":{"NoCopy":true,"Labels":{"l":"m"},"Subpath":"sub","DriverConfig":{"Name":"local","Options":{"o":"p"}}}},
        {"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":448}}],"StopGracePeriod":0,
        "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":1000000000,"Timeout":2000000000,"StartPeriod":3000000000,
        "StartInterval":4000000000,"Retries":5},"Hosts":["10.1.2.3 h"],"DNSConfig":{"Nameservers":["1.1.1.1"],"Search":["s"],
        "Options":["ndots:1"]},"Secrets":[{"File":{"Name":"k","UID":"1","GID":"2","Mode":256},"SecretID":"SECRET","SecretName":"key"}],
        "Configs":[{"File":{"Name":"/etc/c","UID":"0","GID":"0","Mode":292},"ConfigID":"CONFIG","ConfigName":"conf"}],
        "Isolation":"default","Sysctls":{"net.core.somaxconn":"1"},"CapabilityAdd":["CAP_SYS_NICE"],"CapabilityDrop":["CAP_MKNOD"],
        "Ulimits":[{"Name":"nofile","Hard":2,"Soft":1}],"OomScoreAdj":-5},"Resources":{"Limits":{"NanoCPUs":500000000,
        "MemoryBytes":33554432,"Pids":100},"Reservations":{"NanoCPUs":100000000,"MemoryBytes":16777216,
        "GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":2}},{"NamedResourceSpec":{"Kind":"fpga","Value":"f1"}}]}},"RestartPolicy":{"Condition":
        "on-failure","Delay":0,"MaxAttempts":3,"Window":120000000000},"Placement":{"Constraints":["node.role==worker"],"Preferences":
        [{"Spread":{"SpreadDescriptor":"node.labels.zone"}}],"MaxReplicas":2,"Platforms":[{"Architecture":"amd64","OS":"linux"}]},
        "Networks":[{"Target":"NETWORK","Aliases":["x","y"],"DriverOpts":{"o":"p"}}],"LogDriver":{"Name":"json-file","Options":{"max-size":"1m"}},
        "ForceUpdate":7,"Runtime":"container"},"Mode":{"Global":{}},"UpdateConfig":{"Parallelism":0,"Delay":1000000000,
        "FailureAction":"rollback","Monitor":7000000000,"MaxFailureRatio":0.25,"Order":"start-first"},"RollbackConfig":{"Parallelism":2,
        "FailureAction":"continue","Monitor":5000000000,"MaxFailureRatio":0,"Order":"stop-first"},"EndpointSpec":{"Mode":"dnsrr",
        "Ports":[{"Name":"dns","Protocol":"udp","TargetPort":53,"PublishedPort":5353,"PublishMode":"host"}]}}
        """

    @Test func `everything that can be said is read, and printed as it was said`() async throws {
        let (shown, kept) = try await Self.roundTrip(Self.full)
        #expect(shown["Spec"]?.text == (try Self.parsed(Self.full)).text)
        #expect(kept.task.container.mounts.map(\.kind) == [.bind, .volume, .tmpfs] && kept.task.container.healthcheck?.retries == 5)
        #expect(kept.task.container.secrets.first?.mode == 0o400 && kept.endpoint?.mode == .dnsrr && kept.update?.order == .startFirst)
        #expect(kept.task.placement.spreads == ["node.labels.zone"] && kept.task.restart?.window == 120_000_000_000)
        #expect(kept.task.container.stopGracePeriod == 0 && kept.task.limits.pids == 100)
    }

    @Test func `keys in any spelling, and nulls, as SDKs send them`() async throws {
        let (shown, kept) = try await Self.roundTrip(
            """
            {"Name":"py","Labels":null,"TaskTemplate":{"ContainerSpec":{"Image":"bb","Command":["true"],"Mounts":[{"Target":"/d","Source":
            "vol","Type":"volume","ReadOnly":false,"VolumeOptions":{"NoCopy":false,"Labels":null}}]},"restartpolicy":{"Condition":"none",
            "Delay":0,"MaxAttempts":0,"Window":0}},"Mode":{"replicated":{"Replicas":1}},"UpdateConfig":null,"Networks":["IGNORED"]}
            """.replacing(#","Networks":["IGNORED"]"#, with: #","NewerThanAll":{"x":1}"#))
        #expect(shown["Spec"]?["Mode"] == ["Replicated": ["Replicas": 1]] && kept.task.restart?.condition == RestartPolicy.Condition.none)
        let policy = try Self.parsed(#"{"Condition":"none","Delay":0,"MaxAttempts":0,"Window":0}"#)
        #expect(shown["Spec"]?["TaskTemplate"]?["RestartPolicy"] == policy)
        let mounts = try Self.parsed(#"[{"Type":"volume","Source":"vol","Target":"/d"}]"#)
        #expect(shown["Spec"]?["TaskTemplate"]?["ContainerSpec"]?["Mounts"] == mounts)
        #expect(shown["Spec"]?["UpdateConfig"] == nil)
    }

    @Test func `networks where they stood before count as the task's`() async throws {
        let (shown, _) = try await Self.roundTrip(
            #"{"Name":"old","TaskTemplate":{"ContainerSpec":{"Image":"bb"}},"Networks":[{"Target":"st_n1"}]}"#)
        #expect(shown["Spec"]?["TaskTemplate"]?["Networks"] == [["Target": "NETWORK"]])
    }

    @Test func `defaults are inserted on request, in Docker's values`() async throws {
        let body = #"{"Name":"d","TaskTemplate":{"ContainerSpec":{"Image":"bb"}}}"#
        let plain = try await Self.roundTrip(body).shown["Spec"]
        #expect(plain?["UpdateConfig"] == nil && plain?["EndpointSpec"] == nil && plain?["TaskTemplate"]?["RestartPolicy"] == nil)
        let spec = try await Self.roundTrip(body, query: "?insertDefaults=True").shown["Spec"]
        let update: JSON = [
            "Parallelism": 1, "FailureAction": "pause", "Monitor": 5_000_000_000, "MaxFailureRatio": 0, "Order": "stop-first",
        ]
        #expect(spec?["UpdateConfig"] == update && spec?["RollbackConfig"] == update)
        #expect(spec?["TaskTemplate"]?["ContainerSpec"]?["StopGracePeriod"] == 10_000_000_000)
        #expect(spec?["TaskTemplate"]?["RestartPolicy"]?["Condition"] == "any")
        #expect(spec?["TaskTemplate"]?["RestartPolicy"]?["Delay"] == 5_000_000_000 && spec?["EndpointSpec"] == ["Mode": "vip"])
    }

    @Test func `a job is done once, and has its own defaults`() async throws {
        let (shown, kept) = try await Self.roundTrip(
            #"{"Name":"j","TaskTemplate":{"ContainerSpec":{"Image":"bb"}},"Mode":{"ReplicatedJob":{"TotalCompletions":7}}}"#,
            query: "?insertDefaults=true")
        #expect(kept.mode == .replicatedJob(concurrent: 1, total: 7))
        #expect(shown["Spec"]?["Mode"] == ["ReplicatedJob": ["MaxConcurrent": 1, "TotalCompletions": 7]])
        #expect(shown["JobStatus"] == ["JobIteration": [:], "LastExecution": .string(MemoryBackend.epoch.rfc3339)])
        #expect(shown["Spec"]?["UpdateConfig"] == nil && shown["Spec"]?["TaskTemplate"]?["RestartPolicy"]?["Condition"] == "on-failure")
    }

    @Test func `a sandbox is a program by its path, or a root file system`() async throws {
        let (shown, kept) = try await Self.roundTrip(
            #"{"Name":"s","TaskTemplate":{"Runtime":"sandbox","ContainerSpec":{"Command":["./server"],"Dir":"/srv"},"#
                + #""Resources":{"Reservations":{"NanoCPUs":1000000}}}}"#)
        #expect(kept.task.runtime == .sandbox && shown["Spec"]?["TaskTemplate"]?["Runtime"] == "sandbox")
        #expect(shown["Spec"]?["TaskTemplate"]?["ContainerSpec"] == ["Command": ["./server"], "Dir": "/srv", "DNSConfig": [:]])
        let rootfs = try await Self.roundTrip(
            #"{"Name":"s","TaskTemplate":{"ContainerSpec":{"Rootfs":"/srv/db","Args":["postgres"]}}}"#)
        #expect(rootfs.kept.task.runtime == .sandbox && rootfs.kept.task.container.rootfs == "/srv/db")
    }
}

/// Carries a value out of a closure that runs elsewhere.
private final class Box<Value>: @unchecked Sendable {
    var value: Value?
}
