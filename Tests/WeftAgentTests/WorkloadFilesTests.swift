import Foundation
import Logging
import Testing
import WeftAgent
import WeftModel
import WeftNet
import WeftNode

@Suite("Records of workloads")
struct WorkloadFilesTests {
    private let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        .path
    private var run: String { "\(directory)/run" }
    private var state: String { "\(directory)/state" }

    private func files() throws -> WorkloadFiles {
        for path in [run, state] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        return WorkloadFiles(
            runDirectory: run, stateDirectory: state,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func write(_ text: String, to path: String) throws {
        let folder = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test(
        "What is saved is found, but for what was removed and what cannot be read; only containers outlive the run directory"
    )
    func saved() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = try files()
        let interface = InterfaceSpec(
            EndpointSpec(network: NetworkID("n1"), ipv4: IPv4Address("10.0.1.5"), aliases: ["db"]),
            interface: "eth0",
            owner: "conf")
        let foreign = Workload(
            SandboxID("c1"), in: .init(path: "/run/netns/c1", cookie: 7), interfaces: [interface])
        var sandbox = Workload(
            id: WorkloadID("s1"), kind: .sandbox, sandbox: SandboxID("s1"), name: "s", interfaces: [interface]
        )
        sandbox.removesItself = true
        let port = WantedPort(protocol: .tcp, containerPort: 80, hostPorts: 8080...8080)
        let container = Workload(
            PreparedContainer(
                token: "t1", name: "web", attachments: [interface], ports: [port], restarts: true))
        for workload in [foreign, sandbox, container] { try files.save(workload) }
        #expect(try files.load() == [foreign, sandbox, container])
        try files.remove(sandbox)
        try files.remove(sandbox)
        try write("{", to: "\(run)/workloads/broken")
        #expect(try files.load() == [foreign, container])
        try FileManager.default.removeItem(atPath: run)
        #expect(try files.load() == [container])
    }

    @Test("What former versions wrote is taken over, once")
    func former() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = try files()
        try write(
            """
            {"attachments":[{"aliases":["db"],"interface":"eth0","network":"n1"}],"container":"id1","name":"web","ports":[],
             "published":[],"restarts":true,"token":"t1","upstreams":[]}
            """, to: "\(state)/containers/t1")
        for (sandbox, interface, owner) in [
            ("c1", "eth0", "conf"), ("c1", "net7", ""), ("id1", "eth0", "engine"),
        ] {
            try write(
                """
                {"interface":"\(interface)","namespace":7,"namespacePath":"/run/netns/\(sandbox)","network":"n1",
                 "owner":"\(owner)","sandbox":"\(sandbox)","takesDefaultRoute":\(interface == "eth0")}
                """, to: "\(run)/attachments/\(sandbox)@\(interface)")
        }
        let found = try files.load()
        #expect(found.map(\.id.rawValue) == ["c1", "t1"])
        let runtime = try #require(found.first)
        #expect(runtime.kind == .foreign && runtime.foreign == .init(path: "/run/netns/c1", cookie: 7))
        #expect(runtime.interfaces.map(\.interface) == ["eth0", "net7"])
        #expect(runtime.interfaces.map(\.owner) == ["conf", ""])
        #expect(runtime.interfaces.map(\.takesDefaultRoute) == [true, false])
        #expect(found.last?.preparedContainer?.restarts == true && found.last?.sandbox == SandboxID("id1"))
        for folder in ["\(state)/containers", "\(run)/attachments"] {
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
        #expect(try files.load() == found)
    }
}
