import Testing
import WeftAPI
import WeftModel
import WeftNet
import WeftText

@Suite struct ServiceTests {
    private static func body(_ name: String, replicas: Int = 2, image: String = "bb", label: String = "") -> String {
        #"{"Name":"\#(name)","Labels":{\#(label)},"TaskTemplate":{"ContainerSpec":{"Image":"\#(image)"},"#
            + #""Networks":[{"Target":"n"}]},"Mode":{"Replicated":{"Replicas":\#(replicas)}}}"#
    }

    private static func withService(_ body: @escaping @Sendable (RawClient, MemoryBackend, Service) async throws -> Void) async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            _ = try await client.send("POST", "/networks/create", #"{"Name":"n","Driver":"overlay","Attachable":true}"#)
            let created = try await client.send("POST", "/services/create", Self.body("web", label: #""tier":"1""#))
            #expect(created.status == 201, "\(created.text)")
            let service = try #require(backend.read { $0.services.first })
            try await body(client, backend, service)
        }
    }

    @Test func `a service is found as Docker finds it, and removed`() async throws {
        try await Self.withService { client, _, service async throws in
            for text in [service.id.rawValue, "web", String(service.id.rawValue.prefix(5))] {
                #expect(try await client.send("GET", "/services/\(text)").json()["ID"] == .string(service.id.rawValue))
            }
            let missing = try await client.send("GET", "/services/nosuch")
            #expect(missing.status == 404 && missing.message == "service nosuch not found")
            // 200, as Docker answers, not 204.
            #expect(try await client.send("DELETE", "/services/web").status == 200)
            #expect(try await client.send("DELETE", "/services/web").status == 404)
        }
    }

    @Test(arguments: [
        (#"{"name":{"we":true}}"#, 1), (#"{"name":["web2"]}"#, 0), (#"{"label":["tier=1"]}"#, 1), (#"{"label":{"tier=2":true}}"#, 0),
        (#"{"mode":["replicated"]}"#, 1), (#"{"mode":["global"]}"#, 0), (#"{"runtime":["container"]}"#, 1), (#"{"id":["nosuch"]}"#, 0),
    ])
    func `lists of services are filtered`(filter: String, count: Int) async throws {
        try await Self.withService { client, _, _ async throws in
            guard case .array(let found) = try await client.send("GET", "/services?filters=\(filter.percentEncoded)").json() else {
                return #expect(Bool(false))
            }
            #expect(found.count == count && found.allSatisfy { $0["ServiceStatus"] == nil })
            #expect(try await client.send("GET", "/services?filters=\(#"{"colour":["red"]}"#.percentEncoded)").status == 400)
        }
    }

    @Test func `where a port is published stands beside it`() async throws {
        try await Self.withService { client, backend, service async throws in
            var port = PortConfig(target: 80)
            port.published = 8080
            var other = port
            (other.published, other.mode) = (8081, .host)
            backend.read { [port, other] state in
                for index in state.services.indices where state.services[index].id == service.id {
                    state.services[index].ports = [port, other]
                    state.services[index].spec.labels[IngressLabels.addressesKey] = "192.0.2.10:8080,[2001:db8::1]"
                }
            }
            guard case .array(let shown)? = try await client.send("GET", "/services/web").json()["Endpoint"]?["Ports"] else {
                return #expect(Bool(false))
            }
            #expect(shown.map { $0["PublishedAddresses"] } == [["192.0.2.10"], nil])
        }
    }

    @Test func `a list with status counts tasks that run and are wanted`() async throws {
        try await Self.withService { client, backend, _ async throws in
            backend.addTask(of: "web", slot: 1, state: .running)
            backend.addTask(of: "web", slot: 2, state: .preparing)
            backend.addTask(of: "web", slot: 3, state: .running, desired: .shutdown)
            guard case .array(let found) = try await client.send("GET", "/services?status=true").json() else { return #expect(Bool(false)) }
            #expect(found.first?["ServiceStatus"] == ["RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 0])
        }
    }

    @Test func `of a global service a status counts the tasks that wait for their restart, and each node once`() async throws {
        try await Self.withService { client, backend, service async throws in
            backend.read { state in
                for index in state.services.indices where state.services[index].id == service.id {
                    state.services[index].spec.mode = .global
                }
            }
            backend.addTask(of: "web", slot: 1, state: .failed, desired: .shutdown)
            backend.addTask(of: "web", slot: 1, state: .ready, desired: .ready)
            backend.addTask(of: "web", slot: 2, state: .running)
            backend.addTask(of: "web", slot: 2, state: .ready, desired: .ready)
            guard case .array(let found) = try await client.send("GET", "/services?status=true").json() else { return #expect(Bool(false)) }
            #expect(found.first?["ServiceStatus"] == ["RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 0])
        }
    }

    @Test func `of jobs a status counts what has still to end apart from what has`() async throws {
        try await Self.withService { client, backend, service async throws in
            func status() async throws -> JSON? {
                guard case .array(let found) = try await client.send("GET", "/services?status=true").json() else { return nil }
                return found.first?["ServiceStatus"]
            }
            for (mode, desired) in [(.globalJob, 1), (.replicatedJob(concurrent: 2, total: 2), 2)] as [(ServiceMode, Int64)] {
                backend.read { state in
                    state.tasks = []
                    for index in state.services.indices where state.services[index].id == service.id {
                        state.services[index].spec.mode = mode
                    }
                }
                backend.addTask(of: "web", slot: 1, state: .complete, desired: .complete)
                backend.addTask(of: "web", slot: 2, state: .running, desired: .complete)
                #expect(try await status() == ["RunningTasks": 1, "DesiredTasks": .integer(desired), "CompletedTasks": 1])
            }
        }
    }

    @Test func `what a service is reached by is shown once it has it`() async throws {
        try await Self.withService { client, backend, service async throws in
            let network = try #require(backend.read { $0.snapshot.networks.first })
            backend.read { state in
                var port = PortConfig(target: 80)
                port.published = 30000
                state.services[0].addresses = [
                    VirtualAddress(network: network.id, ipv4: IPv4Address(rawValue: network.subnet.network.rawValue + 6))
                ]
                state.services[0].ports = [port]
                state.services[0].updateStatus = UpdateStatus(
                    state: .rollbackStarted, startedAt: MemoryBackend.epoch, message: "manually requested rollback")
            }
            let shown = try await client.send("GET", "/services/web").json()
            let address = IPv4Address(rawValue: network.subnet.network.rawValue + 6)
            #expect(
                shown["Endpoint"] == [
                    "Spec": ["Mode": "vip"],
                    "Ports": [["Protocol": "tcp", "TargetPort": 80, "PublishedPort": 30000, "PublishMode": "ingress"]],
                    "VirtualIPs": [["NetworkID": .string(network.id.rawValue), "Addr": .string("\(address)/24")]],
                ])
            #expect(
                shown["UpdateStatus"] == [
                    "State": "rollback_started", "StartedAt": .string(MemoryBackend.epoch.rfc3339),
                    "Message": "manually requested rollback",
                ])
        }
    }

    @Test func `updates are under the version as read, and go back`() async throws {
        try await Self.withService { client, _, service async throws in
            let first = service.version.index
            let updated = try await client.send(
                "POST", "/services/web/update?version=\(first)&registryAuthFrom=spec", Self.body("web", replicas: 5))
            #expect(updated.status == 200 && updated.text == "{\"Warnings\":null}\n")
            let shown = try await client.send("GET", "/services/web").json()
            #expect(shown["Spec"]?["Mode"]?["Replicated"]?["Replicas"] == 5)
            #expect(shown["PreviousSpec"]?["Mode"]?["Replicated"]?["Replicas"] == 2)
            let stale = try await client.send("POST", "/services/web/update?version=\(first)", Self.body("web"))
            #expect(stale.status == 500 && stale.message == "rpc error: code = Unknown desc = update out of sequence")
            #expect(try await client.send("POST", "/services/web/update", Self.body("web")).status == 400)
            guard case .integer(let second)? = shown["Version"]?["Index"] else { return #expect(Bool(false)) }
            let back = "/services/web/update?version=\(second)&rollback="
            #expect(try await client.send("POST", back + "sideways", "{}").message == "unrecognized rollback option sideways")
            // The CLI repeats the present spec, which is not what counts.
            #expect(try await client.send("POST", back + "previous", Self.body("web", replicas: 5)).status == 200)
            #expect(try await client.send("GET", "/services/web").json()["Spec"]?["Mode"]?["Replicated"]?["Replicas"] == 2)
        }
    }

    @Test func `a task is shown with where it is and how it is`() async throws {
        try await Self.withService { client, backend, service async throws in
            let id = backend.addTask(of: "web", slot: 2, state: .running)
            let network = try #require(backend.read { $0.snapshot.networks.first })
            let task = try await client.send("GET", "/tasks/\(id)").json()
            #expect(task["ServiceID"] == .string(service.id.rawValue) && task["Slot"] == 2 && task["Labels"] == [:])
            #expect(
                task["Status"] == [
                    "Timestamp": .string(MemoryBackend.epoch.rfc3339), "State": "running", "Message": "started",
                    "ContainerStatus": ["ContainerID": "c0ffee", "PID": 29506, "ExitCode": 0], "PortStatus": [:],
                ])
            #expect(task["DesiredState"] == "running" && task["Spec"]?["Runtime"] == "container")
            guard case .array(let attachments)? = task["NetworksAttachments"] else { return #expect(Bool(false)) }
            let address = IPv4Address(rawValue: network.subnet.network.rawValue + 10)
            #expect(attachments.count == 1 && attachments[0]["Addresses"] == [.string("\(address)/24")])
            let shown = attachments[0]["Network"]
            #expect(shown?["ID"] == .string(network.id.rawValue) && shown?["Spec"]?["Name"] == "n" && shown?["Spec"]?["Attachable"] == true)
            #expect(shown?["DriverState"]?["Options"]?["com.docker.network.driver.overlay.vxlanid_list"] == .string("\(network.vni)"))
            #expect(try await client.send("GET", "/tasks/web.2.\(id)").json()["ID"] == .string(id.rawValue))
            #expect(try await client.send("GET", "/tasks/nosuch").message == "task nosuch not found")
        }
    }

    @Test func `what a node does not reach is said of it, and of its tasks on encrypted networks`() async throws {
        try await Self.withService { client, backend, _ async throws in
            let id = backend.addTask(of: "web", slot: 2, state: .running)
            let node = try #require(backend.read { $0.nodes.first?.id })
            backend.read { state in
                state.nodes[0].description?.pathConditions = [
                    PathCondition(peer: NodeID("elsewhere"), fault: .silent, port: 4500, length: 1500)
                ]
                for index in state.tasks.indices { state.tasks[index].node = node }
            }
            func problem() async throws -> JSON? { try await client.send("GET", "/tasks/\(id)").json()["Status"]?["Err"] }
            let words =
                "to elsewhere: no encrypted packet gets there and back: open UDP port 4500 between the two hosts, in both directions"
            #expect(try await client.send("GET", "/nodes/\(node)").json()["Status"]?["Message"] == .string(words))
            #expect(try await problem() == nil, "its network is in the clear")
            backend.read { $0.snapshot.networks[0].spec.options[NetworkSpec.encryptedOption] = "" }
            #expect(try await problem() == .string(words))
            backend.read { $0.nodes[0].state = .down }
            #expect(try await problem() == nil)
            #expect(try await client.send("GET", "/nodes/\(node)").json()["Status"]?["Message"] == nil)
        }
    }

    @Test func `a job's slots are told from 0 on, as Swarm's are`() async throws {
        try await Self.withService { client, backend, _ async throws in
            let job =
                #"{"Name":"j","TaskTemplate":{"ContainerSpec":{"Image":"bb"}},"Mode":{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":2}}}"#
            #expect(try await client.send("POST", "/services/create", job).status == 201)
            let first = backend.addTask(of: "j", slot: 1, state: .complete, desired: .complete)
            let second = backend.addTask(of: "j", slot: 2, state: .running, desired: .complete)
            // Left out where it is 0, as Docker does.
            #expect(try await client.send("GET", "/tasks/\(first)").json()["Slot"] == nil)
            #expect(try await client.send("GET", "/tasks/\(second)").json()["Slot"] == 1)
        }
    }

    @Test(arguments: ["host", "bridge"])
    func `a service is put on a network of each node's own, which the swarm shows`(name: String) async throws {
        try await Self.withService { client, backend, _ async throws in
            let shown = try await client.send("GET", "/networks/\(name)?scope=swarm").json()
            #expect(shown["Id"] == .string(name) && shown["Name"] == .string(name) && shown["Driver"] == .string(name))
            #expect(shown["Scope"] == "swarm" && shown["Labels"] == ["com.docker.swarm.predefined": "true"])
            let body = #"{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"bb"},"Networks":[{"Target":"\#(name)"}]}}"#
            #expect(try await client.send("POST", "/services/create", body).status == 201)
            #expect(backend.read { $0.services.last?.spec.task.networks.map(\.target) } == [name])
            #expect(try await client.send("GET", "/networks/none?scope=swarm").message == "network none not found")
            // It is no network of the swarm's for anybody else.
            #expect(try await client.send("GET", "/networks/\(name)").status == 404)
        }
    }

    @Test(arguments: [
        (#"{"service":{"web":true}}"#, 2), (#"{"node":["self"]}"#, 2), (#"{"desired-state":["running"]}"#, 1),
        (#"{"desired-state":["shutdown","running"]}"#, 2), (#"{"label":["tier"]}"#, 2), (#"{"label":["tier=9"]}"#, 0),
        (#"{"name":["web.1"]}"#, 1), (#"{"_up-to-date":["true"],"service":["web"]}"#, 2), (#"{"runtime":["sandbox"]}"#, 0),
    ])
    func `lists of tasks are filtered`(filter: String, count: Int) async throws {
        try await Self.withService { client, backend, _ async throws in
            backend.addTask(of: "web", slot: 1, state: .running)
            backend.addTask(of: "web", slot: 2, state: .shutdown, desired: .shutdown)
            guard case .array(let found) = try await client.send("GET", "/tasks?filters=\(filter.percentEncoded)").json() else {
                return #expect(Bool(false))
            }
            #expect(found.count == count)
        }
    }

    @Test func `a filter that names what there is not says so`() async throws {
        try await Self.withService { client, _, _ async throws in
            let service = try await client.send("GET", "/tasks?filters=\(#"{"service":["nosuch"]}"#.percentEncoded)")
            #expect(service.status == 404 && service.message == "service nosuch not found")
            let state = try await client.send("GET", "/tasks?filters=\(#"{"desired-state":["tired"]}"#.percentEncoded)")
            #expect(state.status == 400 && state.message == "Invalid desired-state filter: 'tired'")
        }
    }

    @Test func `tasks of an older spec are not up to date`() async throws {
        try await Self.withService { client, backend, _ async throws in
            backend.addTask(of: "web", slot: 1, state: .running)
            backend.read { $0.services[0].specVersion = Version(99) }
            let filter = #"{"_up-to-date":{"true":true},"service":{"web":true}}"#.percentEncoded
            #expect(try await client.send("GET", "/tasks?filters=\(filter)").text == "[]\n")
        }
    }

    @Test func `a network shows its services and their tasks, cluster-wide`() async throws {
        try await Self.withService { client, backend, service async throws in
            let id = backend.addTask(of: "web", slot: 1, state: .running)
            let network = try #require(backend.read { $0.snapshot.networks.first })
            let address = IPv4Address(rawValue: network.subnet.network.rawValue + 6)
            backend.read { state in
                var port = PortConfig(target: 80)
                port.published = 8080
                state.services[0].addresses = [VirtualAddress(network: network.id, ipv4: address)]
                state.services[0].ports = [port]
            }
            backend.addWorker()
            let services = try await client.send("GET", "/networks/n?verbose=true").json()["Services"]
            let web = services?["web"]
            #expect(web?["VIP"] == .string("\(address)") && web?["Ports"] == ["Target: 80, Publish: 8080"])
            guard case .array(let tasks)? = web?["Tasks"], case .array(let others)? = services?[""]?["Tasks"] else {
                return #expect(Bool(false))
            }
            #expect(tasks.map { $0["Name"] } == [.string("web.1.\(id)")] && others.map { $0["Name"] } == ["b1"])
            #expect(services?[""]?["VIP"] == "<nil>")
            // A worker knows no services, and tells them by their tasks.
            backend.becomeWorker()
            let seen = try await client.send("GET", "/networks/n?verbose=true").json()["Services"]
            #expect(seen?["web"]?["VIP"] == "<nil>" && seen?["web"]?["Tasks"] == web?["Tasks"])
        }
    }

    @Test func `a sandbox has ports of its node's by a network`() async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            _ = try await client.send("POST", "/networks/create", #"{"Name":"n","Driver":"overlay"}"#)
            func create(_ networks: String) async throws -> RawResponse {
                let ports = #""EndpointSpec":{"Ports":[{"TargetPort":80,"PublishMode":"host"}]}"#
                let task = #"{"Runtime":"sandbox","ContainerSpec":{"Command":["a"]},"Networks":[\#(networks)]}"#
                return try await client.send("POST", "/services/create", #"{"Name":"w","TaskTemplate":\#(task),\#(ports)}"#)
            }
            let alone = try await create("")
            #expect(alone.status == 400 && alone.message?.hasPrefix("a sandbox without a network") == true)
            #expect(try await create(#"{"Target":"n"}"#).status == 201)
            #expect(backend.read { $0.services.first?.spec.endpoint?.ports.first?.mode } == .host)
        }
    }
}
