import Testing
import WeftControl
import WeftModel
import WeftNet

@Suite("What a service may be")
struct ServiceRuleTests {
    private func refusal(_ swarm: inout Swarm, _ change: (inout ServiceSpec) -> Void) throws -> String {
        var spec = ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "app")))
        change(&spec)
        let message = try swarm.refusal(.createService(spec)).message
        return message.replacing("rpc error: code = InvalidArgument desc = ", with: "")
    }

    @Test("Specs that make no sense are refused in swarm's words")
    func specs() throws {
        var swarm = try Swarm.withWorkers(1)
        #expect(try refusal(&swarm) { $0.name = "" } == "meta: name must be provided")
        #expect(try refusal(&swarm) { $0.name = "a b" } == "name must be valid as a DNS name component")
        #expect(try refusal(&swarm) { $0.name = String(repeating: "a", count: 64) } == "name must be 63 characters or fewer")
        #expect(try refusal(&swarm) { $0.task.container.image = "" } == "ContainerSpec: image reference must be provided")
        #expect(
            try refusal(&swarm) {
                $0.task.container.registryCredentials = Secret(String(repeating: "a", count: ContainerSpec.maxCredentialsBytes + 1))
            }.contains("larger than 16384 bytes"))
        #expect(
            try refusal(&swarm) {
                $0.task.runtime = .sandbox
                $0.task.container.registryCredentials = Secret("a")
            }.contains("--with-registry-auth"))
        #expect(try refusal(&swarm) { $0.task.placement.constraints = ["node.id"] } == "constraint expected one operator from ==, !=")
        #expect(try refusal(&swarm) { $0.task.placement.constraints = ["no de == a"] } == "key 'no de' is invalid")
        #expect(try refusal(&swarm) { $0.task.placement.constraints = ["node.id =="] } == "value '' is invalid")
        #expect(try refusal(&swarm) { $0.task.reservations.nanoCPUs = 1 }.hasSuffix("Must be at least 0.001"))
        #expect(try refusal(&swarm) { $0.task.limits.memoryBytes = 1 } == "invalid memory value 1: Must be at least 4MiB")
        #expect(
            try refusal(&swarm) {
                $0.task.restart = RestartPolicy()
                $0.task.restart?.delay = -1
            } == "TaskSpec: restart-delay cannot be negative")
        #expect(
            try refusal(&swarm) {
                $0.update = UpdateConfig()
                $0.update?.maxFailureRatio = 1.5
            } == "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
        #expect(
            try refusal(&swarm) {
                $0.mode = .globalJob
                $0.update = UpdateConfig()
            } == "update and rollback configuration is not supported for jobs")
        #expect(
            try refusal(&swarm) {
                $0.endpoint = ServiceEndpointSpec()
                $0.endpoint?.mode = .dnsrr
                $0.endpoint?.ports = [PortConfig(target: 80)]
            } == "EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        #expect(
            try refusal(&swarm) {
                var port = PortConfig(target: 80)
                port.published = 80
                $0.endpoint = ServiceEndpointSpec()
                $0.endpoint?.ports = [port, port]
            } == "EndpointSpec: duplicate published ports provided")
        #expect(
            try refusal(&swarm) {
                var port = PortConfig(target: 9899)
                port.transport = .sctp
                $0.endpoint = ServiceEndpointSpec()
                $0.endpoint?.ports = [port]
            }.contains("-p 9899:9899/sctp"))
        let mount = ContainerSpec.Mount(target: "/data")
        #expect(try refusal(&swarm) { $0.task.container.mounts = [mount, mount] } == "ContainerSpec: duplicate mount point: /data")
        let file = ContainerSpec.FileReference(id: "s1", name: "key", target: "key")
        #expect(
            try refusal(&swarm) { $0.task.container.secrets = [file, file] }
                == "secret references 'key' and 'key' have a conflicting target: 'key'")
    }

    @Test("What a service refers to must be there")
    func references() throws {
        var swarm = try Swarm.withWorkers(1)
        let file = ContainerSpec.FileReference(id: "s1", name: "key", target: "key")
        #expect(try refusal(&swarm) { $0.task.container.secrets = [file] } == "secret not found: key")
        #expect(try refusal(&swarm) { $0.task.container.configs = [file] } == "config not found: key")
        #expect(try refusal(&swarm) { $0.task.networks = [TaskNetwork(target: "nowhere")] }.hasSuffix("network nowhere not found"))
        let ingress = try #require(swarm.replica.networks.first { $0.spec.ingress })
        #expect(
            try refusal(&swarm) { $0.task.networks = [TaskNetwork(target: ingress.id.rawValue)] }
                == "Service cannot be explicitly attached to the ingress network \"ingress\"")
        _ = try swarm.serve("host") { $0.task.networks = [TaskNetwork(target: "host")] }
        #expect(try refusal(&swarm) { $0.name = "host" }.hasSuffix("service host already exists"))
        _ = try swarm.run(.removeNetwork(ingress.id.rawValue))
        #expect(
            try refusal(&swarm) {
                $0.endpoint = ServiceEndpointSpec()
                $0.endpoint?.ports = [PortConfig(target: 80)]
            }.hasSuffix("service needs ingress network, but no ingress network is present"))
    }

    @Test("An update is of the version that was seen, and keeps the name and the mode")
    func updates() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try swarm.serve("web")
        let current = try swarm.service(service.id)
        var spec = current.spec
        #expect(try swarm.refusal(.updateService(service.id, version: .none, spec)).kind == .outOfSequence)
        spec.name = "other"
        #expect(
            try swarm.refusal(.updateService(service.id, version: current.version, spec)).message
                .hasSuffix("renaming services is not supported"))
        spec.name = "web"
        spec.mode = .global
        #expect(
            try swarm.refusal(.updateService(service.id, version: current.version, spec)).message
                .hasSuffix("service mode change is not allowed"))
        #expect(
            try swarm.refusal(.updateService(service.id, version: current.version, nil)).message
                .hasSuffix("does not have a previous spec"))
    }

    @Test("Those who watch hear of a service's changes")
    func events() throws {
        var swarm = try Swarm.withWorkers(1)
        let service = try swarm.serve("web")
        try swarm.update(service.id) {
            $0.mode = .replicated(3)
            $0.task.container.image = "app:2"
        }
        _ = try swarm.run(.removeService(service.id))
        let told = swarm.events.filter { $0.kind == .service }
        #expect(told.map(\.action) == [.create, .update, .remove])
        #expect(
            told[1].attributes == [
                "name": "web", "image.old": "app:1", "image.new": "app:2", "replicas.old": "1", "replicas.new": "3",
                "updatestate.new": "updating",
            ])
    }
}
