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
        #expect(problem { $0.limits.memoryBytes = 1 }?.contains("--limit-memory") == true)
        #expect(problem { $0.container.mounts = [.init(target: "/x")] }?.hasPrefix("--mount ") == true)
        #expect(problem { $0.networks = [TaskNetwork(target: "host")] }?.contains("network host") == true)
        var image = TaskSpec(container: ContainerSpec(image: "web"))
        image.container.user = "me"
        #expect(image.sandboxProblem == nil)
    }
}
