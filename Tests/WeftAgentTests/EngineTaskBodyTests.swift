import Testing
import WeftModel
import WeftNet
import WeftNode
import WeftText

@testable import WeftAgent

/// What dockerd's own Swarm makes of the same spec, by its labels, names and values.
@Suite("Containers of tasks")
struct EngineTaskBodyTests {
    private func network(_ name: String) throws -> Network {
        let subnet = try #require(IPv4Prefix("10.0.1.0/24"))
        return Network(
            id: NetworkID("id-\(name)"), createdAt: Instant(nanoseconds: 0), spec: NetworkSpec(name: name),
            vni: try #require(VNI(4097)), subnet: subnet, gateway: try #require(subnet.network.advanced(by: 1)))
    }

    private func body(
        networks: [String] = [], ports: [PortConfig] = [], files: [LaidFile] = [],
        _ change: (inout TaskSpec) -> Void
    ) throws -> JSON {
        var spec = TaskSpec(container: ContainerSpec(image: "web:1"))
        change(&spec)
        let start = Instant(nanoseconds: 0)
        var task = ServiceTask(
            id: TaskID("t1"), createdAt: start,
            of: Service(id: ServiceID("s"), createdAt: start, spec: ServiceSpec(name: "web", task: spec)), slot: 2,
            node: NodeID("n1"), desiredState: .running,
            status: TaskStatus(state: .assigned, at: start, message: ""))
        task.ports = ports
        let order = TaskOrder(
            task: task, files: [], node: TaskNode(id: NodeID("n1"), hostname: "h1", architecture: "x86_64"),
            networks: try networks.map { try network($0) })
        return try EngineTaskBody(order, files: files).json()
    }

    @Test("Swarm's labels are on it, and the spec's own beside them")
    func labels() throws {
        let labels = try body { $0.container.labels = ["mine": "1"] }["Labels"]
        #expect(
            labels
                == .map([
                    "mine": "1", "com.docker.swarm.task": "", "com.docker.swarm.task.id": "t1",
                    "com.docker.swarm.task.name": "web.2.t1", "com.docker.swarm.node.id": "n1",
                    "com.docker.swarm.service.id": "s", "com.docker.swarm.service.name": "web",
                ]))
    }

    @Test("What runs in it is the spec's, with its templates filled in")
    func process() throws {
        let body = try body {
            $0.container.command = ["/entry"]
            $0.container.arguments = ["-a", "b"]
            $0.container.environment = ["SLOT={{.Task.Slot}}"]
            $0.container.hostname = "{{.Node.Hostname}}-{{.Task.Slot}}"
            $0.container.stopSignal = "SIGINT"
            $0.container.user = "www"
            var check = ContainerSpec.Healthcheck()
            (check.test, check.interval, check.retries) = (["CMD", "true"], 5, 3)
            $0.container.healthcheck = check
        }
        #expect(body["Image"] == "web:1" && body["Entrypoint"] == ["/entry"] && body["Cmd"] == ["-a", "b"])
        #expect(body["Env"] == ["SLOT=2"] && body["Hostname"] == "h1-2" && body["StopSignal"] == "SIGINT")
        #expect(body["User"] == "www" && body["Healthcheck"]?["Test"] == ["CMD", "true"])
        #expect(body["Healthcheck"]?["Interval"] == 5 && body["Healthcheck"]?["Retries"] == 3)
        // The image's own stand where the spec says nothing.
        let bare = try self.body { _ in }
        #expect(bare["Entrypoint"] == nil && bare["Cmd"] == nil && bare["Healthcheck"] == nil)
    }

    @Test("Limits, mounts and rights are the host's side of it")
    func host() throws {
        let host = try body(files: [.init(source: "/run/x/0", target: "/run/secrets/key")]) {
            $0.limits.nanoCPUs = 500_000_000
            $0.limits.memoryBytes = 1 << 20
            $0.limits.pids = 7
            $0.container.usesInit = true
            $0.container.sysctls = ["net.core.somaxconn": "9"]
            $0.container.addedCapabilities = ["CAP_NET_ADMIN"]
            $0.container.limits = [.init(name: "nofile", soft: 1, hard: 2)]
            $0.container.hosts = ["10.0.0.9 one two"]
            var mount = ContainerSpec.Mount(target: "/data")
            (mount.source, mount.isReadOnly) = ("vol-{{.Task.Slot}}", true)
            var memory = ContainerSpec.Mount(target: "/scratch")
            (memory.kind, memory.tmpfsSizeBytes) = (.tmpfs, 4096)
            $0.container.mounts = [mount, memory]
            var privileges = ContainerSpec.Privileges()
            (privileges.noNewPrivileges, privileges.seccompMode) = (true, "unconfined")
            $0.container.privileges = privileges
            $0.logDriver = LogDriver(name: "json-file", options: ["max-size": "1m"])
        }["HostConfig"]
        #expect(host?["NanoCpus"] == 500_000_000 && host?["Memory"] == 1_048_576 && host?["PidsLimit"] == 7)
        #expect(host?["Init"] == true && host?["Sysctls"] == ["net.core.somaxconn": "9"])
        #expect(host?["CapAdd"] == ["CAP_NET_ADMIN"] && host?["ExtraHosts"] == ["one:10.0.0.9", "two:10.0.0.9"])
        #expect(host?["Ulimits"] == [["Name": "nofile", "Soft": 1, "Hard": 2]])
        #expect(host?["SecurityOpt"] == ["seccomp=unconfined", "no-new-privileges=true"])
        #expect(host?["LogConfig"] == ["Type": "json-file", "Config": ["max-size": "1m"]])
        #expect(host?["RestartPolicy"]?["Name"] == "no", "its restarts are Weft's")
        guard case .array(let mounts)? = host?["Mounts"] else { throw Missing() }
        #expect(mounts.map { $0["Type"] } == ["volume", "tmpfs", "bind"])
        #expect(mounts.map { $0["Target"] } == ["/data", "/scratch", "/run/secrets/key"])
        #expect(mounts[0]["Source"] == "vol-2" && mounts[0]["ReadOnly"] == true)
        #expect(mounts[1]["TmpfsOptions"]?["SizeBytes"] == 4096 && mounts[2]["ReadOnly"] == true)
    }

    @Test("Its first network is in it with whose endpoint it is; the resolver there is Weft's")
    func networks() throws {
        let body = try body(networks: ["net", "other"]) { $0.container.dns.nameservers = ["10.9.9.9"] }
        #expect(body["HostConfig"]?["NetworkMode"] == "net")
        let options = body["NetworkingConfig"]?["EndpointsConfig"]?["net"]?["DriverOpts"]
        #expect(options == ["weft.service": "s", "weft.slot": "2", "weft.task": "t1"])
        #expect(body["NetworkingConfig"]?["EndpointsConfig"]?["other"] == nil)
        #expect(body["HostConfig"]?["Dns"] == ["169.254.77.53", "10.9.9.9"])
        let host = try self.body { $0.networks = [TaskNetwork(target: "host")] }
        #expect(host["HostConfig"]?["NetworkMode"] == "host" && host["NetworkingConfig"] == nil)
        #expect(host["HostConfig"]?["Dns"] == [])
    }

    @Test("Only ports of the host are published by the container")
    func ports() throws {
        var (mesh, fixed, free) = (PortConfig(target: 80), PortConfig(target: 81), PortConfig(target: 82))
        (mesh.published, fixed.published) = (8080, 8081)
        (fixed.mode, free.mode, free.transport) = (.host, .host, .udp)
        let body = try body(ports: [mesh, fixed, free]) { _ in }
        #expect(
            body["HostConfig"]?["PortBindings"]
                == ["81/tcp": [["HostPort": "8081"]], "82/udp": [["HostPort": ""]]])
        #expect(body["ExposedPorts"] == ["81/tcp": [:], "82/udp": [:]])
    }

    private struct Missing: Error {}
}
