import Glibc
import Testing
import WeftLinux
import WeftModel
import WeftNet
import WeftNode

@testable import WeftAgent

@Suite("Parts of tasks")
struct TaskPartsTests {
    private func task(slot: UInt64 = 2, _ change: (inout TaskSpec) -> Void = { _ in }) -> ServiceTask {
        var spec = TaskSpec(container: ContainerSpec(image: "web"))
        change(&spec)
        let start = Instant(nanoseconds: 0)
        var whole = ServiceSpec(name: "web", task: spec)
        whole.labels = ["tier": "front"]
        return ServiceTask(
            id: TaskID("t1"), createdAt: start, of: Service(id: ServiceID("s"), createdAt: start, spec: whole),
            slot: slot, node: NodeID("n1"), desiredState: .running,
            status: TaskStatus(state: .assigned, at: start, message: ""))
    }

    private let node = TaskNode(id: NodeID("n1"), hostname: "h1", architecture: "x86_64")

    @Test("Templates know service, node and task, in Docker's spelling")
    func templates() throws {
        let text = """
            {{.Service.ID}} {{.Service.Name}} {{.Service.Labels.tier}} {{.Node.ID}} {{.Node.Hostname}} \
            {{.Node.Platform.Architecture}} {{.Node.Platform.OS}} {{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}
            """
        #expect(try TaskTemplates(task(), on: node).fill(text) == "s web front n1 h1 x86_64 linux t1 web.2.t1 2")
        // A global service has no slots.
        #expect(try TaskTemplates(task(slot: 0), on: node).fill("{{.Task.Slot}} {{.Task.Name}}") == "n1 web.n1.t1")
        #expect(throws: TaskFailure.self) { try TaskTemplates(task(), on: node).fill("{{.Nothing}}") }
    }

    @Test("A config is a template where it says so")
    func contents() throws {
        let reference = ContainerSpec.FileReference(id: "c", name: "conf", target: "/conf")
        // "slot {{.Task.Slot}}"
        var content = SharedFileSpec(name: "conf", data: Secret("c2xvdCB7ey5UYXNrLlNsb3R9fQ=="))
        let templates = TaskTemplates(task(), on: node)
        func text() throws -> String {
            let file = TaskFile(reference: reference, content: content, isSecret: false)
            return String(decoding: try templates.content(of: file), as: UTF8.self)
        }
        #expect(try text() == "slot {{.Task.Slot}}")
        content.templating = LogDriver(name: "golang")
        #expect(try text() == "slot 2")
        content.templating = LogDriver(name: "other")
        #expect(throws: TaskFailure.self) { try text() }
    }

    @Test("Of a table of sockets those that listen count, of both families")
    func listening() {
        func open(_ table: String) -> Set<UInt16> { ListenerProbe.reachable(ListedSocket.all(inTable: table)) }
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
               1: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
               2: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 3 1 0
            """
        #expect(open(table) == [8080, 53])
        let loopback = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0B00007F:8D5B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
               1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 3 1 0
            """
        #expect(open(loopback) == [])
        let datagrams = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
            """
        #expect(open(datagrams) == [53])
        #expect(open("") == [])
    }

    @Test("A port is seen as soon as something listens on it; a process that is gone is not waited for")
    func probe() async throws {
        let (fd, port) = try listener()
        defer { close(fd) }
        let own = Int(getpid())
        #expect(ListenerProbe.listeningPorts(ofProcess: own)?.contains(port) == true)
        #expect(await ListenerProbe.wait(forPorts: [port], ofProcess: own))
        #expect(await ListenerProbe.wait(forPorts: [], ofProcess: own))
        #expect(ListenerProbe.listeningPorts(ofProcess: 99_999_999) == nil)
        #expect(await !ListenerProbe.wait(forPorts: [port], ofProcess: 99_999_999))
    }

    private func listener() throws -> (Int32, UInt16) {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(fd >= 0 && listen(fd, 1) == 0)
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &size) }
        }
        try #require(result == 0)
        return (fd, UInt16(bigEndian: address.sin_port))
    }

    @Test("A run is healthy once a check passes, and unhealthy after so many in a row that did not, of which the first do not count")
    func health() {
        var check = ContainerSpec.Healthcheck()
        (check.interval, check.startInterval, check.startPeriod) = (10_000_000_000, 1_000_000_000, 5_000_000_000)
        check.retries = 2
        var track = HealthTrack(check)
        #expect(track.health == .unknown && track.pause(age: .seconds(1)) == .seconds(1) && track.pause(age: .seconds(5)) == .seconds(10))
        for _ in 0..<5 { track.note(isWell: false, age: .seconds(4)) }
        #expect(track.health == .unknown)
        track.note(isWell: false, age: .seconds(6))
        track.note(isWell: true, age: .seconds(7))
        #expect(track.health == .healthy && track.pause(age: .seconds(1)) == .seconds(10))
        track.note(isWell: false, age: .seconds(8))
        #expect(track.health == .healthy)
        track.note(isWell: false, age: .seconds(9))
        #expect(track.health == .unhealthy)
        // One that was well has had its start, whatever its age.
        var adopted = HealthTrack(check, health: .healthy)
        for _ in 0..<2 { adopted.note(isWell: false, age: .seconds(1)) }
        #expect(adopted.health == .unhealthy)
        let usual = HealthTrack(ContainerSpec.Healthcheck())
        #expect(usual.interval == .seconds(30) && usual.timeout == .seconds(30) && usual.pause(age: .zero) == .seconds(30))
    }

    @Test("Capabilities are the usual ones with those added and without those dropped, as Docker reckons them")
    func capabilities() {
        func set(_ added: [String], _ dropped: [String]) -> UInt64 {
            SandboxRights.capabilities(usual: 0b111, adding: added, dropping: dropped)
        }
        #expect(set([], []) == 0b111 && set(["fowner"], ["CAP_CHOWN"]) == 0b1110)
        #expect(set(["CHOWN"], ["ALL"]) == 1 && set(["ALL"], ["CHOWN"]) == 0x1ff_ffff_fffe)
    }

    @Test("What a sandbox cannot be is refused by the option's name")
    func sandboxFields() {
        func problem(_ change: (inout TaskSpec) -> Void) -> String? {
            var spec = TaskSpec(container: ContainerSpec())
            spec.runtime = .sandbox
            spec.container.command = ["./server"]
            change(&spec)
            return spec.sandboxProblem
        }
        #expect(problem { _ in } == nil)
        #expect(
            problem {
                $0.container.environment = ["A=b"]
                $0.container.hostname = "h"
                $0.container.stopSignal = "INT"
                $0.container.rootfs = "/srv/root"
                $0.reservations.memoryBytes = 1
                $0.networks = [TaskNetwork(target: "none")]
            } == nil)
        #expect(problem { $0.container.command = [] } == "a sandbox needs a command to run")
        #expect(problem { $0.limits.memoryBytes = 1 } == nil)
        #expect(problem { $0.logDriver = LogDriver(name: "syslog") }?.hasPrefix("--log-driver is not") == true)
        #expect(problem { $0.container.mounts = [.init(target: "/x")] }?.hasPrefix("--mount type=volume is not") == true)
        func mount(_ kind: ContainerSpec.Mount.Kind, _ target: String, from source: String = "", propagation: String? = nil) -> String? {
            problem {
                var mount = ContainerSpec.Mount(target: target)
                (mount.kind, mount.source, mount.propagation) = (kind, source, propagation)
                $0.container.mounts = [mount]
            }
        }
        #expect(mount(.bind, "/x", from: "/y") == nil && mount(.bind, "/x", from: "/y", propagation: "rslave") == nil)
        #expect(mount(.bind, "/x", from: "/y", propagation: "rshared")?.contains("bind-propagation=shared") == true)
        #expect(mount(.bind, "/x", from: "y")?.contains("absolute path") == true)
        #expect(mount(.tmpfs, "/x") == nil && mount(.tmpfs, "x")?.contains("absolute path") == true)
        #expect(mount(.tmpfs, "/x", from: "/y")?.contains("has no source") == true)
        #expect(problem { $0.container.isReadOnly = true }?.contains("--rootfs") == true)
        #expect(
            problem {
                $0.container.isReadOnly = true
                $0.container.rootfs = "/srv/root"
            } == nil)
        #expect(problem { $0.container.addedCapabilities = ["net_admin", "CAP_BPF", "ALL"] } == nil)
        #expect(problem { $0.container.droppedCapabilities = ["FLY"] } == "there is no capability FLY")
        #expect(problem { $0.container.limits = [.init(name: "nofile", soft: 5, hard: -1)] } == nil)
        #expect(problem { $0.container.limits = [.init(name: "nofile", soft: 5, hard: 4)] }?.contains("nofile") == true)
        #expect(problem { $0.container.limits = [.init(name: "files", soft: 5, hard: 5)] } == "there is no limit files")
        #expect(problem { $0.container.sysctls = ["net.core.somaxconn": "5", "kernel.shmmax": "9"] } == nil)
        #expect(problem { $0.container.sysctls = ["kernel.panic": "1"] }?.hasPrefix("kernel.panic is not") == true)
        #expect(problem { $0.container.sysctls = ["net/../kernel/panic": "1"] }?.contains("is not") == true)
        #expect(problem { $0.container.oomScoreAdjustment = 2000 }?.contains("OOM") == true)
        #expect(
            problem {
                $0.container.privileges = .init()
                $0.container.privileges?.seccompMode = "unconfined"
                $0.container.privileges?.noNewPrivileges = true
            } == nil)
        #expect(
            problem {
                $0.container.privileges = .init()
                $0.container.privileges?.seccompMode = "default"
            }?.hasPrefix("a seccomp profile is not") == true)
        func check(_ test: [String], interval: Int64 = 0) -> String? {
            problem {
                $0.container.healthcheck = .init()
                $0.container.healthcheck?.test = test
                $0.container.healthcheck?.interval = interval
            }
        }
        #expect(check(["CMD", "true"]) == nil && check(["CMD-SHELL", "true"]) == nil && check(["NONE"]) == nil && check([]) == nil)
        #expect(check([], interval: 5)?.contains("--health-cmd") == true && check(["CMD"])?.contains("--health-cmd") == true)
        #expect(problem { $0.container.stopSignal = "NOSUCH" } == "there is no signal NOSUCH")
        #expect(problem { $0.container.hosts = ["192.0.2.1"] }?.contains("/etc/hosts") == true)
        #expect(problem { $0.container.dns.nameservers = ["::1"] }?.contains("IPv4") == true)
        #expect(problem { $0.networks = [TaskNetwork(target: "host")] }?.contains("network host") == true)
        var image = TaskSpec(container: ContainerSpec(image: "web"))
        image.container.user = "me"
        #expect(image.sandboxProblem == nil)
    }
}
