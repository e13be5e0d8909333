import Logging
import NIOPosix
import Synchronization
import TestSupport
import Testing
import WeftAgent
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

private typealias Node = WorkloadNode

private func request(_ sandbox: String, _ interface: String = "eth0", on network: String = "id-net")
    -> NamespaceAttachmentRequest
{
    NamespaceAttachmentRequest(
        sandbox: SandboxID(sandbox), namespacePath: "/run/netns/\(sandbox)",
        interface: InterfaceSpec(
            EndpointSpec(network: NetworkID(network), name: sandbox), interface: interface, owner: "conf"))
}

@Suite("What runs on a node, and its drivers", .timeLimit(.minutes(5)))
struct WorkloadKeeperTests {
    // MARK: Namespaces of runtimes

    @Test("A runtime's interface is on record before it is an endpoint, and neither is left after its detach")
    func runtime() async throws {
        try await withWorkloads { node in
            await #expect(throws: AttachmentError.noNamespace("/run/netns/c")) {
                try await node.attachments.attach(request("c"))
            }
            node.namespaces.set("/run/netns/c", 7)
            let made = try await node.attachments.attach(request("c"))
            #expect(try await node.endpoints().map(\.id) == [made.endpoint?.id])
            #expect(made.owner == "conf" && node.records.all[WorkloadID("c")]?.foreign?.cookie == 7)
            await #expect(throws: AttachmentError.exists(SandboxID("c"), interface: "eth0")) {
                try await node.attachments.attach(request("c"))
            }
            await #expect(throws: AttachError.self) {
                try await node.attachments.attach(request("c", "eth1"))
            }
            #expect(try await node.attachments.records.map(\.interface) == ["eth0"])
            for _ in 0..<2 { try await node.attachments.detach(SandboxID("c"), interface: "eth0") }
            #expect(try await node.endpoints().isEmpty && node.records.all.isEmpty)
        }
    }

    @Test("A namespace that is gone takes its endpoints along; the container's next one is another")
    func namespaceGone() async throws {
        try await withWorkloads { node in
            node.namespaces.set("/run/netns/c", 7)
            _ = try await node.attachments.attach(request("c"))
            _ = try await node.attachments.attach(request("c", "eth1", on: "id-inner"))
            // Another namespace has the path: what was in the former is gone, whether that was noticed or not.
            node.namespaces.set("/run/netns/c", 8)
            let again = try await node.attachments.attach(request("c"))
            #expect(try await node.endpoints().map(\.id) == [again.endpoint?.id])
            node.namespaces.set("/run/netns/c", nil)
            try await eventually("the endpoints go") {
                try await node.endpoints().isEmpty && node.records.all.isEmpty
            }
        }
    }

    @Test("One path is one namespace: a container that is in another keeps that")
    func otherNamespace() async throws {
        try await withWorkloads { node in
            node.namespaces.set("/run/netns/c", 7)
            node.namespaces.set("/other", 8)
            _ = try await node.attachments.attach(request("c"))
            let other = NamespaceAttachmentRequest(
                sandbox: SandboxID("c"), namespacePath: "/other", interface: request("c", "eth1").interface)
            await #expect(throws: AttachmentError.otherNamespace(SandboxID("c"))) {
                try await node.attachments.attach(other)
            }
            #expect(try await node.endpoints().count == 1)
        }
    }

    @Test("What cannot be recorded is not attached, and the next one is when there is room")
    func fullDisk() async throws {
        try await withWorkloads { node in
            node.namespaces.set("/run/netns/c", 7)
            node.records.state.withLock { $0.isFull = true }
            await #expect(throws: Node.Records.Full.self) { try await node.attachments.attach(request("c")) }
            #expect(try await node.endpoints().isEmpty)
            node.records.state.withLock { $0.isFull = false }
            _ = try await node.attachments.attach(request("c"))
            #expect(node.records.all.count == 1)
        }
    }

    @Test("A network that is removed takes the endpoint; the interface can be attached anew")
    func lost() async throws {
        try await withWorkloads { node in
            node.namespaces.set("/run/netns/c", 7)
            _ = try await node.attachments.attach(request("c"))
            try node.tell(["net2"])
            try await eventually("the loss is noticed") {
                try await node.attachments.records.first?.endpoint == nil
            }
            try node.tell(["net"])
            try await eventually("the network is back") {
                try await node.agent.read { $0.network(NetworkID("id-net")) } != nil
            }
            let again = try await node.attachments.attach(request("c"))
            #expect(try await node.endpoints().map(\.id) == [again.endpoint?.id])
        }
    }

    @Test("After a restart what is there still is kept, and the rest goes")
    func restart() async throws {
        let (records, namespaces) = (Node.Records(), Node.Namespaces())
        namespaces.set("/run/netns/a", 1)
        try await withWorkloads(records: records, namespaces: namespaces) { node in
            namespaces.set("/run/netns/b", 2)
            _ = try await node.attachments.attach(request("a"))
            _ = try await node.attachments.attach(request("b"))
        }
        namespaces.set("/run/netns/b", nil)
        try await withWorkloads(records: records, namespaces: namespaces) { node in
            try await eventually("the record goes") { Array(records.all.keys) == [WorkloadID("a")] }
            // The agent of this test remembers no endpoints.
            #expect(try await node.attachments.record(SandboxID("a"), interface: "eth0").endpoint == nil)
        }
    }

    // MARK: Containers of an engine

    private func container(_ token: String, _ networks: [String], ports: [WantedPort] = [])
        -> PreparedContainer
    {
        PreparedContainer(
            token: token, name: token,
            attachments: networks.enumerated().map {
                InterfaceSpec(EndpointSpec(network: NetworkID($1)), interface: "eth\($0)")
            },
            ports: ports)
    }

    private func created(_ node: Node, _ container: PreparedContainer) async throws -> SandboxID {
        let id = SandboxID("id-\(container.token)")
        #expect(try await node.containers.prepare(container) == "/netns/\(container.token)")
        try await node.containers.created(token: container.token, container: id, name: container.name)
        return id
    }

    @Test("A container's endpoints and ports are there when the engine starts it, and go when it has ended")
    func containerLife() async throws {
        try await withWorkloads { node in
            let port = WantedPort(protocol: .tcp, containerPort: 80, hostPorts: 8080...8080)
            let id = try await created(node, container("web", ["id-inner", "id-net"], ports: [port]))
            #expect(try await node.endpoints().isEmpty)
            let (endpoints, published) = try await node.containers.starting("web") {
                (try await node.endpoints(), node.ports.published.withLock { $0 })
            }
            #expect(endpoints.count == 2)
            #expect(
                published.map(\.target) == endpoints.filter { $0.network == NetworkID("id-net") }.map(\.ipv4))
            try await node.containers.observe(id, name: "web2", .running)
            #expect(try await node.endpoints().map(\.name) == ["web2", "web2"])
            #expect(try await node.containers.records.first?.published.map(\.hostPort) == [8080])
            try await node.containers.observe(id, name: "web2", .stopped(isFinal: false))
            #expect(try await node.endpoints().map(\.name) == ["", ""])
            try await node.containers.ended(id)
            #expect(try await node.endpoints().isEmpty && node.ports.published.withLock { $0 }.isEmpty)
            try await node.containers.gone(id)
            #expect(node.records.all.isEmpty && node.namespaces.namespace(at: "/netns/web") == nil)
        }
    }

    @Test("A start whose port is taken leaves nothing attached, and says which port")
    func portTaken() async throws {
        try await withWorkloads { node in
            let port = WantedPort(protocol: .tcp, containerPort: 80, hostPorts: 8080...8080)
            _ = try await created(node, container("web", ["id-net"], ports: [port]))
            node.ports.taken.withLock { _ = $0.insert(8080) }
            await #expect(throws: PreparedContainerError.portTaken(port)) {
                try await node.containers.starting("web") {
                    Issue.record("the engine was asked all the same")
                }
            }
            try await eventually("nothing is attached") { try await node.endpoints().isEmpty }
            await #expect(throws: PreparedContainerError.self) {
                try await node.containers.prepare(self.container("none", [], ports: [port]))
            }
        }
    }

    @Test(
        "Networks are connected and disconnected while it runs, and take effect at its next start when it does not"
    )
    func connect() async throws {
        try await withWorkloads { node in
            let id = try await created(node, container("web", ["id-net"]))
            let inner = InterfaceSpec(EndpointSpec(network: NetworkID("id-inner")), interface: "eth1")
            try await node.containers.connect("web", inner, networkName: "inner", isRunning: false)
            #expect(try await node.endpoints().isEmpty)
            let count = try await node.containers.starting("web") { try await node.endpoints().count }
            #expect(count == 2)
            try await node.containers.observe(id, name: "web", .running)
            await #expect(throws: PreparedContainerError.alreadyConnected(name: "web", network: "inner")) {
                try await node.containers.connect("web", inner, networkName: "inner", isRunning: true)
            }
            try await node.containers.disconnect("web", network: NetworkID("id-inner"), networkName: "inner")
            #expect(try await node.endpoints().map(\.network) == [NetworkID("id-net")])
            await #expect(throws: PreparedContainerError.notConnected(name: "web", network: "inner")) {
                try await node.containers.disconnect(
                    "web", network: NetworkID("id-inner"), networkName: "inner")
            }
        }
    }

    // MARK: Sandboxes

    private func sandbox(_ name: String) -> Workload {
        Workload(
            id: WorkloadID("id\(name)"), kind: .sandbox, sandbox: SandboxID("id\(name)"), name: name,
            interfaces: [InterfaceSpec(EndpointSpec(network: NetworkID("id-net")), interface: "eth0")])
    }

    @Test("A sandbox whose supervisor hangs holds up nobody else")
    func sick() async throws {
        try await withWorkloads { node in
            let (sick, well) = (sandbox("sick"), sandbox("well"))
            try await node.workloads.request { .prepare($0, sick) }
            let starting = Task { try await node.workloads.request { .start($0, sick.id) } }
            try await node.workloads.request { .prepare($0, well) }
            try await node.workloads.request { .start($0, well.id) }
            #expect(try await node.endpoints().count == 2)
            try await node.workloads.request { .remove($0, well.id, force: true) }
            #expect(try await node.endpoints().map(\.sandbox) == [SandboxID("idsick")])
            node.sandboxes.heal()
            _ = try? await starting.value
        }
    }
}
