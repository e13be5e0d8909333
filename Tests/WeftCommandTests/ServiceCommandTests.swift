import Testing
import WeftTemplate

@testable import weft

private func create(_ arguments: String...) throws -> TemplateValue {
    try #require(try Weft.command(["service", "create"] + arguments) as? ServiceCreate).body()
}

private func update(_ spec: String, _ arguments: String...) throws -> TemplateValue {
    let command = try #require(try Weft.command(["service", "update"] + arguments + ["web"]) as? ServiceUpdate)
    return try command.changed(try TemplateValue(json: Array(spec.utf8), maps: ["Labels"]))
}

@Suite struct ServiceCommandTests {
    @Test func `a service of sandboxes`() throws {
        let body = try create(
            "--name", "web", "--replicas", "3", "--network", "name=my_net,alias=www", "-e", "A=1", "--reserve-cpu", "0.5", "--",
            "./server", "--port", "80")
        #expect(
            body.json
                == #"{"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Command":["./server","--port","80"],"Env":["A=1"]},"#
                + #""Runtime":"sandbox","Networks":[{"Target":"my_net","Aliases":["www"]}],"#
                + #""Resources":{"Reservations":{"NanoCPUs":500000000}}},"Mode":{"Replicated":{"Replicas":3}}}"#)
    }

    @Test func `a service of containers`() throws {
        let body = try create(
            "--name", "cache", "--image", "redis:7", "--mode", "global", "-p", "8080:80", "-p", "53/udp", "--limit-memory", "64m",
            "--constraint", "node.role==worker", "--placement-pref", "spread=node.labels.zone", "--restart-condition", "on-failure",
            "--update-order", "start-first", "--stop-grace-period", "3s", "--mount", "type=tmpfs,target=/t,tmpfs-size=1m")
        #expect(body["TaskTemplate"]["ContainerSpec"]["Image"] == "redis:7" && body["TaskTemplate"]["Runtime"].isNull)
        #expect(body["Mode"].json == #"{"Global":{}}"#)
        #expect(
            body["EndpointSpec"]["Ports"].json
                == #"[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"ingress"},"#
                + #"{"Protocol":"udp","TargetPort":53,"PublishMode":"ingress"}]"#)
        #expect(body["TaskTemplate"]["Resources"]["Limits"]["MemoryBytes"] == .int(64 << 20))
        #expect(
            body["TaskTemplate"]["Placement"].json
                == #"{"Constraints":["node.role==worker"],"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}]}"#)
        #expect(body["TaskTemplate"]["RestartPolicy"].json == #"{"Condition":"on-failure"}"#)
        #expect(body["UpdateConfig"].json == #"{"Parallelism":1,"FailureAction":"pause","Order":"start-first"}"#)
        #expect(body["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 3_000_000_000)
        #expect(
            body["TaskTemplate"]["ContainerSpec"]["Mounts"].json
                == #"[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576}}]"#)
    }

    @Test func `how processes run, and are looked at`() throws {
        let container = try create(
            "--init", "--read-only", "--no-new-privileges", "--oom-score-adj", "5", "--group", "adm", "--cap-drop", "ALL", "--cap-add",
            "chown",
            "--ulimit", "nofile=1:2", "--ulimit", "core=-1", "--sysctl", "net.core.somaxconn=9", "--add-host", "db:192.0.2.1",
            "--health-cmd", "true", "--health-interval", "2s", "--health-retries", "4", "--mount",
            "type=bind,source=/a,target=/b,bind-nonrecursive,bind-create-src", "--", "a")["TaskTemplate"]["ContainerSpec"]
        #expect(container["Init"] == true && container["ReadOnly"] == true && container["OomScoreAdj"] == 5)
        #expect(container["Privileges"].json == #"{"NoNewPrivileges":true}"# && container["Groups"].json == #"["adm"]"#)
        #expect(container["CapabilityDrop"].json == #"["ALL"]"# && container["CapabilityAdd"].json == #"["chown"]"#)
        #expect(
            container["Ulimits"].json == #"[{"Name":"nofile","Soft":1,"Hard":2},{"Name":"core","Soft":-1,"Hard":-1}]"#)
        #expect(container["Sysctls"].json == #"{"net.core.somaxconn":"9"}"# && container["Hosts"].json == #"["192.0.2.1 db"]"#)
        #expect(container["Healthcheck"].json == #"{"Test":["CMD-SHELL","true"],"Interval":2000000000,"Retries":4}"#)
        #expect(container["Mounts"].array.first?["BindOptions"].json == #"{"NonRecursive":true,"CreateMountpoint":true}"#)
        let spec = #"{"TaskTemplate":{"ContainerSpec":{"Init":true,"Healthcheck":{"Test":["CMD","a"],"Retries":2}}}}"#
        let changed = try update(spec, "--no-init", "--no-healthcheck")["TaskTemplate"]["ContainerSpec"]
        #expect(changed["Init"] == false && changed["Healthcheck"].json == #"{"Test":["NONE"]}"#)
        for wrong in [["--ulimit", "nofile"], ["--add-host", "db"], ["--no-healthcheck", "--health-retries", "2"]] {
            #expect(throws: CommandFailure.self) {
                try #require(try Weft.command(["service", "create"] + wrong + ["--", "a"]) as? ServiceCreate).body()
            }
        }
    }

    @Test func `jobs`() throws {
        let body = try create("--mode", "replicated-job", "--replicas", "10", "--max-concurrent", "2", "--", "true")
        #expect(body["Mode"].json == #"{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":10}}"#)
        #expect(try create("--mode", "global-job", "--", "true")["Mode"].json == #"{"GlobalJob":{}}"#)
        #expect(throws: CommandFailure.self) { try create("--mode", "global", "--replicas", "2", "--", "true") }
    }

    @Test(arguments: [
        ["service", "create"], ["service", "create", "--image", "a", "--rootfs", "/b"],
        ["service", "create", "--max-concurrent", "2", "--", "a"],
        ["service", "create", "--endpoint-mode", "anycast", "--", "a"], ["service", "create", "--limit-memory", "much", "--", "a"],
        ["service", "inspect", "--pretty", "--format", "x", "web"], ["service", "ls", "extra"], ["service", "rollback"],
        ["secret", "create", "name"], ["config", "inspect"],
    ])
    func `arguments that make no sense are refused`(arguments: [String]) {
        #expect(throws: (any Error).self) { try Weft.command(arguments) }
    }

    @Test(arguments: [
        "a:b:80", "70000:80", "80/icmp", "1-3:1-2", "3-1:3-1", "published=80", "target=80,mode=anycast", "target=80,colour=red", "",
    ])
    func `ports that are none`(argument: String) {
        #expect(throws: CommandFailure.self) { try ServiceParts.ports(argument) }
    }

    @Test func `ports in all spellings`() throws {
        #expect(try ServiceParts.ports("8000-8002:80-82/udp").count == 3)
        #expect(
            try ServiceParts.ports("published=8080,target=80,protocol=tcp,mode=host").map(\.json)
                == [#"{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"host"}"#])
    }

    @Test func `ports at addresses`() throws {
        let body = try create(
            "--image", "a", "-l", "tier=1", "-p", "192.0.2.10:8080:80", "-p", "[2001:db8::1]:8080:80",
            "-p", "published=53,target=53,protocol=udp,address=192.0.2.10", "-p", "81:81")
        #expect(body["EndpointSpec"]["Ports"].array.map { $0["PublishedPort"] } == [8080, 53, 81])
        #expect(
            body["Labels"].json
                == #"{"tier":"1","weft.ingress.addresses":"192.0.2.10:8080/tcp,[2001:db8::1]:8080/tcp,192.0.2.10:53/udp"}"#)
    }

    @Test(arguments: ["192.0.2.10::80", "::80:80", "192.0.2:80:80", "[::1]80:80", "target=80,published=80,mode=host,address=::1"])
    func `addresses that are none, or with which nothing can be`(argument: String) {
        #expect(throws: CommandFailure.self) { try Publication(argument) }
    }

    @Test func `an update changes where a port is published`() throws {
        let label = Publication.label
        let one = try update(Self.spec, "--publish-rm", "80", "--publish-add", "192.0.2.10:8080:80", "--publish-add", "[::1]:8080:80")
        #expect(one["Labels"][label] == "192.0.2.10:8080/tcp,[::1]:8080/tcp" && one["EndpointSpec"]["Ports"].array.count == 1)
        let less = try update(one.json, "--publish-rm", "[::1]:8080:80")
        #expect(less["Labels"][label] == "192.0.2.10:8080/tcp" && less["EndpointSpec"]["Ports"].array.count == 1)
        let none = try update(less.json, "--publish-rm", "192.0.2.10:8080:80")
        #expect(none["Labels"][label].isNull && none["EndpointSpec"]["Ports"].array.isEmpty)
        let anywhere = try update(one.json, "--publish-rm", "80", "--publish-add", "8080:80")
        #expect(anywhere["Labels"][label].isNull && anywhere["EndpointSpec"]["Ports"].array.count == 1)
        #expect(throws: CommandFailure.self) { try update(one.json, "--publish-rm", "192.0.2.11:8080:80") }
    }

    @Test(arguments: [("64m", 67_108_864), ("1.5GiB", 1_610_612_736), ("100", 100), ("2kb", 2048), ("5x", nil), ("m", nil), ("", nil)])
    func `sizes`(text: String, count: Int64?) { #expect(Bytes(argument: text)?.count == count) }

    private static let spec =
        #"{"Name":"web","Labels":{"a":"1","b":"2"},"TaskTemplate":{"ContainerSpec":{"Image":"x","Args":["old"],"Env":["A=1","B=2"]},"#
        + #""Placement":{"Constraints":["node.id==n"]},"ForceUpdate":2},"Mode":{"Replicated":{"Replicas":1}},"#
        + #""EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"ingress"}]}}"#

    @Test func `an update that says nothing changes nothing`() throws {
        #expect(try update(Self.spec).json == Self.spec)
    }

    @Test func `an update changes what was said and keeps the rest`() throws {
        let spec = try update(
            Self.spec, "--image", "y", "--args", "serve 'two words'", "--env-add", "B=3", "--env-rm", "A", "--label-rm", "a", "--label-add",
            "c=4", "--replicas", "5", "--force", "--publish-rm", "80", "--publish-add", "81:81", "--constraint-rm", "node.id==n",
            "--constraint-add", "node.role==worker", "--update-parallelism", "0")
        #expect(
            spec["TaskTemplate"]["ContainerSpec"].json == #"{"Image":"y","Args":["serve","two words"],"Env":["B=3"]}"#)
        #expect(spec["Labels"].json == #"{"b":"2","c":"4"}"# && spec["Mode"]["Replicated"]["Replicas"] == 5)
        #expect(spec["TaskTemplate"]["ForceUpdate"] == 3 && spec["UpdateConfig"]["Parallelism"] == 0)
        #expect(spec["EndpointSpec"]["Ports"].array.map { $0["TargetPort"] } == [81] && spec["EndpointSpec"]["Mode"] == "vip")
        #expect(spec["TaskTemplate"]["Placement"]["Constraints"] == ["node.role==worker"])
    }

    @Test func `a sandbox's command is replaced whole`() throws {
        let spec =
            #"{"Name":"s","TaskTemplate":{"Runtime":"sandbox","ContainerSpec":{"Command":["./a"],"Args":["b"]}},"#
            + #""Mode":{"Global":{}}}"#
        #expect(try update(spec, "--args", "./c d")["TaskTemplate"]["ContainerSpec"].json == #"{"Command":["./c","d"],"Args":[]}"#)
        #expect(throws: CommandFailure.self) { try update(spec, "--replicas", "2") }
    }

    @Test func `scale takes several services`() throws {
        let command = try #require(try Weft.command(["service", "scale", "web=5", "cache=0"]) as? ServiceScale)
        #expect(try command.counts().map { "\($0.service) \($0.replicas)" } == ["web 5", "cache 0"])
        let wrong = try #require(try Weft.command(["service", "scale", "web"]) as? ServiceScale)
        #expect(throws: CommandFailure.self) { try wrong.counts() }
        #expect(throws: CommandFailure.self) { try ServiceScale.scaled(["Mode": ["Global": [:]]], to: 2, name: "web") }
    }

    @Test func `a file's reference`() throws {
        let file = try ServiceParts.FileArgument("source=key,target=tls.key,uid=5,mode=0400")
        #expect(
            file.reference(to: "id1", name: "key", isSecret: true).json
                == #"{"File":{"Name":"tls.key","UID":"5","GID":"0","Mode":256},"SecretID":"id1","SecretName":"key"}"#)
        let config = try ServiceParts.FileArgument("site").reference(to: "id2", name: "site", isSecret: false)
        #expect(config["File"]["Name"] == "/site" && config["ConfigID"] == "id2")
    }

    @Test func `a secret's content goes as base 64`() throws {
        let command = try #require(
            try Weft.command(["secret", "create", "-l", "a=b", "pass", "-"]) as? FileCreate<Secrets>)
        #expect(try command.body(Array("s3same".utf8)).json == #"{"Name":"pass","Labels":{"a":"b"},"Data":"czNzYW1l"}"#)
    }
}

@Suite struct TaskRowTests {
    private func task(_ slot: Int64, _ state: String, created: String, problem: String = "", node: String = "n1") -> TemplateValue {
        [
            "ID": .string("task\(slot)\(state)0123456789"), "ServiceID": "s1", "Slot": .int(slot), "NodeID": .string(node),
            "CreatedAt": .string("2026-11-21T09:\(created):00Z"),
            "Status": ["Timestamp": "2026-11-21T10:00:00Z", "State": .string(state), "Err": .string(problem)], "DesiredState": "running",
            "Spec": ["ContainerSpec": ["Image": "redis:7@sha256:abc"]],
        ]
    }

    @Test func `tasks are in the order of their slots, the newest first`() throws {
        let tasks = [
            task(2, "running", created: "01"), task(1, "failed", created: "01", problem: "the process ended by itself, with status 1"),
            task(1, "running", created: "02"), task(10, "pending", created: "01", node: ""),
        ]
        let now = try #require(HumanTime.seconds("2026-11-21T10:05:00Z"))
        let rows = Tasks.rows(tasks, services: ["s1": "web"], nodes: ["n1": "host1"], now: now, whole: false)
        #expect(rows.map { $0["Name"].string } == ["web.1", " \\_ web.1", "web.2", "web.10"])
        #expect(rows.map { $0["CurrentState"].string }.first == "Running 5 minutes ago" && rows[0]["Image"] == "redis:7")
        #expect(rows[1]["Error"] == "\"the process ended by itself, …\"" && rows[1]["Node"] == "host1" && rows[3]["Node"] == "")
        #expect(rows[0]["ID"].string?.count == 12)
    }

    @Test func `a job's tasks are named from 1 on`() {
        let tasks = [task(0, "complete", created: "01"), task(1, "running", created: "01")]
        let rows = Tasks.rows(tasks, services: ["s1": "job"], jobs: ["s1"], nodes: [:], now: 0, whole: false)
        #expect(rows.map { $0["Name"].string } == ["job.1", "job.2"])
    }

    @Test func `addresses of ports`() {
        #expect(
            ServiceLs.ports([
                ["Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishedAddresses": ["192.0.2.10", "2001:db8::1"]]
            ]) == "192.0.2.10:8080->80/tcp, [2001:db8::1]:8080->80/tcp")
    }

    @Test func `services as rows`() {
        let service: TemplateValue = [
            "ID": "n217kfub9vg5essidu6xfwa6i",
            "Spec": [
                "Name": "web", "Mode": ["Replicated": ["Replicas": 3]],
                "TaskTemplate": ["ContainerSpec": ["Command": ["./server"]], "Placement": ["MaxReplicas": 1]],
            ],
            "Endpoint": ["Ports": [["Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8088, "PublishMode": "ingress"]]],
            "ServiceStatus": ["RunningTasks": 2, "DesiredTasks": 3],
        ]
        #expect(
            ServiceLs.row(service).json
                == #"{"ID":"n217kfub9vg5","Image":"./server","Mode":"replicated","Name":"web","Ports":"*:8088->80/tcp","#
                + #""Replicas":"2/3 (max 1 per node)"}"#)
    }
}

@Suite struct ServiceProgressTests {
    private func service(_ mode: TemplateValue, update: String = "") -> TemplateValue {
        ["Spec": ["Mode": mode], "UpdateStatus": update.isEmpty ? .null : ["State": .string(update), "Message": "why"]]
    }

    private func task(_ state: String, node: String = "n1", problem: String = "") -> TemplateValue {
        ["NodeID": .string(node), "DesiredState": "running", "Status": ["State": .string(state), "Err": .string(problem)]]
    }

    @Test func `replicas are counted`() {
        let two = service(["Replicated": ["Replicas": 2]])
        let waiting = [task("running"), task("pending", problem: "no suitable node")]
        #expect(ServiceProgress.state(two, tasks: waiting, nodes: []) == .running(1, of: 2, problem: "no suitable node"))
        #expect(ServiceProgress.state(two, tasks: [task("running"), task("running")], nodes: []) == .done)
        #expect(ServiceProgress.state(service(["Replicated": ["Replicas": 0]]), tasks: [], nodes: []) == .done)
    }

    @Test func `an update is through when it says so`() {
        let tasks = [task("running")]
        let mode: TemplateValue = ["Replicated": ["Replicas": 1]]
        #expect(ServiceProgress.state(service(mode, update: "updating"), tasks: tasks, nodes: []) == .running(1, of: 1, problem: ""))
        #expect(ServiceProgress.state(service(mode, update: "completed"), tasks: tasks, nodes: []) == .done)
        #expect(ServiceProgress.state(service(mode, update: "paused"), tasks: tasks, nodes: []) == .failed("service update paused: why"))
    }

    @Test func `a global service runs on the nodes that it has tasks on, a job until it is done`() {
        let global = service(["Global": [:]])
        #expect(ServiceProgress.state(global, tasks: [], nodes: ["n1"]) == .running(0, of: 0, problem: ""))
        #expect(ServiceProgress.state(global, tasks: [task("running"), task("starting", node: "gone")], nodes: ["n1", "n2"]) == .done)
        let job = service(["ReplicatedJob": ["TotalCompletions": 2]])
        #expect(ServiceProgress.state(job, tasks: [task("complete"), task("running")], nodes: []) == .running(1, of: 2, problem: ""))
        #expect(ServiceProgress.state(job, tasks: [task("complete"), task("complete")], nodes: []) == .done)
    }
}

@Suite struct ServiceLogsTests {
    @Test(arguments: [
        ([], "stdout=1&stderr=1&details=1"), (["--raw"], "stdout=1&stderr=1"), (["--raw", "--details"], "stdout=1&stderr=1&details=1"),
        (["-f", "-t", "-n", "20"], "stdout=1&stderr=1&follow=1&timestamps=1&details=1&tail=20"),
        (["--tail", "-1", "--raw"], "stdout=1&stderr=1"), (["--tail=all", "--raw"], "stdout=1&stderr=1"),
        (["--raw", "--since", "10m"], "stdout=1&stderr=1&since=999400"),
        (["--raw", "--since", "1.5s"], "stdout=1&stderr=1&since=999998.500000000"),
        (["--raw", "--since", "2026-11-21T09:47:23.25Z"], "stdout=1&stderr=1&since=1795254443.25"),
        (["--raw", "--since", "1700000000.5"], "stdout=1&stderr=1&since=1700000000.5"),
    ])
    func `weftd is asked for what was asked for`(arguments: [String], query: String) throws {
        let command = try #require(try Weft.command(["service", "logs"] + arguments + ["web"]) as? ServiceLogs)
        #expect(try command.query(now: 1_000_000).map { "\($0.0)=\($0.1)" }.joined(separator: "&") == query)
    }

    @Test(arguments: [["--tail", "few"], ["--since", "yesterday"], ["--since", "."]])
    func `what makes no sense is refused`(arguments: [String]) throws {
        let command = try #require(try Weft.command(["service", "logs"] + arguments + ["web"]) as? ServiceLogs)
        #expect(throws: CommandFailure.self) { try command.query(now: 1_000_000) }
    }

    @Test func `frames are read however they are cut`() throws {
        let bytes: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 3, 0x61, 0x62, 0x0a, 2, 0, 0, 0, 0, 0, 0, 1, 0x63, 1, 0, 0, 0, 0, 0, 0, 0]
        for size in [1, 5, bytes.count] {
            var stream = LogStream(isRaw: false)
            var lines: [String] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                for (content, isError) in try stream.take(Array(bytes[start..<min(start + size, bytes.count)])) {
                    lines.append((isError ? "!" : "") + String(decoding: content, as: UTF8.self))
                }
            }
            #expect(lines == ["ab\n", "!c", ""])
        }
        var damaged = LogStream(isRaw: false)
        #expect(throws: LogStream.Broken.self) { try damaged.take([7, 0, 0, 0, 0, 0, 0, 1, 0]) }
        #expect(throws: LogStream.Broken.self) { try damaged.take([1, 0, 0, 0, 255, 0, 0, 1, 0]) }
        var raw = LogStream(isRaw: true)
        #expect(try raw.take([7, 0, 1]).map(\.content) == [[7, 0, 1]])
    }

    @Test func `names in front of lines stand below each other`() {
        func text(_ slot: Int64, id: Int?) -> String {
            LogNames.text("abcdefghijklmnopqrstuvwxy", slot: slot, of: "web", on: "host1", id: id, width: 2)
        }
        #expect(text(3, id: 12) == "web.3.abcdefghijkl@host1 " && text(12, id: 12) == "web.12.abcdefghijkl@host1")
        #expect(text(3, id: 25) == "web.3.abcdefghijklmnopqrstuvwxy@host1 " && text(3, id: nil) == "web.3@host1 ")
    }
}
