import Testing
import WeftAPI
import WeftModel
import WeftNet
import WeftText

@Suite struct NetworkTests {
    private static let create = """
        {"Name":"my_net","CheckDuplicate":true,"Driver":"overlay","Scope":"","IPAM":{"Driver":"default","Options":{},
        "Config":[{"Subnet":"10.9.0.0/24","IPRange":"10.9.0.128/25","Gateway":"10.9.0.1",
        "AuxiliaryAddresses":{"r1":"10.9.0.2"}}]},"Internal":false,"Attachable":true,"Ingress":false,"ConfigOnly":false,
        "ConfigFrom":null,"Options":{"com.docker.network.driver.mtu":"1400"},"Labels":{"l1":"v1"}}
        """

    /// A manager with a second node and `my_net`.
    private static func withNetwork(
        _ body: @escaping @Sendable (RawClient, MemoryBackend) async throws -> Void
    ) async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            let answer = try await client.send("POST", "/v1.41/networks/create", create)
            #expect(answer.status == 201)
            #expect(try answer.json() == ["Id": "net24dgis952rg9d3ke5pj2w9t", "Warning": ""])
            try await body(client, backend)
        }
    }

    private static func names(_ client: RawClient, _ filters: String) async throws -> [JSON?] {
        let encoded = filters.utf8.map { "%" + (String($0, radix: 16)) }.joined()
        guard case .array(let list) = try await client.send("GET", "/networks?filters=\(encoded)").json() else {
            return []
        }
        return list.map { $0["Name"] }
    }

    @Test func `the manager's record is shown while nothing here is attached`() async throws {
        try await Self.withNetwork { client, _ async throws in
            let expected = """
                {"Name":"my_net","Id":"net24dgis952rg9d3ke5pj2w9t","Created":"2026-11-21T09:47:23.122615443Z",\
                "Scope":"swarm","Driver":"overlay","EnableIPv4":true,"EnableIPv6":false,"IPAM":{"Driver":"default",\
                "Options":null,"Config":[{"Subnet":"10.9.0.0/24","IPRange":"10.9.0.128/25","Gateway":"10.9.0.1",\
                "AuxiliaryAddresses":{"r1":"10.9.0.2"}}]},"Internal":false,"Attachable":true,"Ingress":false,\
                "ConfigFrom":{"Network":""},"ConfigOnly":false,"Containers":null,\
                "Options":{"com.docker.network.driver.mtu":"1400",\
                "com.docker.network.driver.overlay.vxlanid_list":"4097"},"Labels":{"l1":"v1"}}

                """
            for name in ["my_net", "net24dgis952rg9d3ke5pj2w9t", "net24", "my_net?verbose=True&scope=swarm"] {
                #expect(try await client.send("GET", "/networks/\(name)").text == expected, "\(name)")
            }
            #expect(try await client.send("GET", "/networks").text == "[\(expected.dropLast())]\n")
            let missing = try await client.send("GET", "/networks/nosuchnet")
            #expect(missing.status == 404 && missing.message == "network nosuchnet not found")
            #expect(try await client.send("GET", "/networks/my_net?scope=local").status == 404)
        }
    }

    @Test func `a network with IPv6 shows both subnets, and its endpoints both addresses`() async throws {
        try await Self.withNetwork { client, backend async throws in
            let body =
                #"{"Name":"dual","Driver":"overlay","Attachable":true,"EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"fd00:9::/64","Gateway":"fd00:9::9","AuxiliaryAddresses":{"r":"fd00:9::5"}},{"Subnet":"10.8.0.0/24"}]}}"#
            #expect(try await client.send("POST", "/networks/create", body).status == 201)
            let shown = try await client.send("GET", "/networks/dual").json()
            #expect(shown["EnableIPv6"] == true)
            #expect(
                shown["IPAM"]?["Config"] == [
                    ["Subnet": "10.8.0.0/24", "Gateway": "10.8.0.1"],
                    ["Subnet": "fd00:9::/64", "Gateway": "fd00:9::9", "AuxiliaryAddresses": ["r": "fd00:9::5"]],
                ])
            // A subnet brings IPv6 with it, and --ipv6 needs none.
            for (name, part) in [("six", #""IPAM":{"Config":[{"Subnet":"fd00:8::/64"}]}"#), ("flag", #""EnableIPv6":true"#)] {
                let made = try await client.send("POST", "/networks/create", #"{"Name":"\#(name)","Driver":"overlay",\#(part)}"#)
                #expect(made.status == 201, "\(made.text)")
                #expect(try await client.send("GET", "/networks/\(name)").json()["EnableIPv6"] == true)
            }
            let sandbox = #"{"Command":["sh"],"Name":"a1","Networks":[{"Network":"dual","IPv6Address":"fd00:9::77"}]}"#
            #expect(try await client.send("POST", "/weft/v1/sandboxes", sandbox).status == 201)
            let containers = try await client.send("GET", "/networks/dual").json()["Containers"]
            guard case .object(let members)? = containers, let one = members.first?.value else {
                throw RawClient.Failure(reason: "no endpoint is shown")
            }
            #expect(one["IPv6Address"] == "fd00:9::77/64")
            let endpoint = try await client.send("GET", "/weft/v1/sandboxes/a1").json()["Networks"]?["dual"]
            #expect(endpoint?["GlobalIPv6Address"] == "fd00:9::77" && endpoint?["GlobalIPv6PrefixLen"] == 64)
            for (address, text) in [
                ("fd00:9::9", "gateway"), ("fd00:9::", "no host address"), ("fd00:7::1", "fd00:9::/64"), ("x", "not an IPv6"),
            ] {
                let refused = try await client.send(
                    "POST", "/weft/v1/sandboxes", #"{"Command":["sh"],"Networks":[{"Network":"dual","IPv6Address":"\#(address)"}]}"#)
                #expect(refused.status == 400 && refused.message?.contains(text) == true, "\(refused.text)")
            }
            let without = try await client.send(
                "POST", "/networks/my_net/connect",
                #"{"Container":"a1","EndpointConfig":{"IPAMConfig":{"IPv6Address":"fd00:9::3"}}}"#)
            #expect(without.status == 400 && without.message?.contains("has no IPv6; leave out --ip6") == true)
        }
    }

    @Test func `a network whose tasks are about to end is removed when they have`() async throws {
        try await Self.withNetwork { client, backend async throws in
            backend.read { $0.endings = 3 }
            #expect(try await client.send("DELETE", "/networks/my_net").status == 204)
            #expect(backend.read { $0.endings } == -1)
        }
    }

    @Test func `the ingress network can be made anew`() async throws {
        try await withServer { client, _ async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            let body = #"{"Name":"front","Driver":"overlay","Ingress":true}"#
            #expect(try await client.send("POST", "/networks/create", body).status == 201)
            let shown = try await client.send("GET", "/networks/front").json()
            #expect(shown["Ingress"] == true && shown["Attachable"] == false)
        }
    }

    @Test func `options are shown as they were given`() async throws {
        try await Self.withNetwork { client, _ async throws in
            let options = #"{"com.docker.network.driver.mtu":"1400","encrypted":"false"}"#
            let body = #"{"Name":"asked","Driver":"overlay","Options":\#(options)}"#
            #expect(try await client.send("POST", "/networks/create", body).status == 201)
            let shown = try await client.send("GET", "/networks/asked").json()["Options"]
            #expect(shown?["com.docker.network.driver.mtu"] == "1400" && shown?["encrypted"] == "false")
        }
    }

    @Test func `this node's endpoints, all peers and all tasks are shown`() async throws {
        try await Self.withNetwork { client, backend async throws in
            backend.addWorker()
            let body = #"{"Command":["sh"],"Name":"a1","Networks":[{"Network":"my_net"}]}"#
            #expect(try await client.send("POST", "/weft/v1/sandboxes", body).status == 201)
            let json = try await client.send("GET", "/networks/my_net?verbose=1").json()
            #expect(
                json["Containers"] == [
                    "5a3b0xbox": [
                        "Name": "a1", "EndpointID": "ep4", "MacAddress": "02:42:0a:09:00:04",
                        "IPv4Address": "10.9.0.4/24", "IPv6Address": "",
                    ]
                ])
            #expect(
                json["Peers"] == [["Name": "host1", "IP": "172.30.0.1"], ["Name": "host2", "IP": "172.30.0.2"]])
            let service = json["Services"]?[""]
            #expect(service?["VIP"] == "<nil>" && service?["Ports"] == [] && service?["LocalLBIndex"] == 0)
            #expect(
                service?["Tasks"] == [
                    ["Name": "a1", "EndpointID": "ep4", "EndpointIP": "10.9.0.4", "Info": ["Host IP": "172.30.0.1"]],
                    [
                        "Name": "b1", "EndpointID": "remote-my_net", "EndpointIP": "10.9.0.9",
                        "Info": ["Host IP": "172.30.0.2"],
                    ],
                ])
            #expect(try await client.send("GET", "/networks/my_net").json()["Services"] == nil)
            guard case .array(let list) = try await client.send("GET", "/networks").json() else {
                throw RawClient.Failure(reason: "no list or object where one is expected")
            }
            #expect(list.first?["Containers"] == [:])
            let inUse = try await client.send("DELETE", "/networks/my_net")
            #expect(
                inUse.message
                    == "rpc error: code = FailedPrecondition desc = network net24dgis952rg9d3ke5pj2w9t is in use by task remote-my_net"
            )
        }
    }

    @Test(arguments: [
        (#"{"Name":"n"}"#, 501, "driver bridge"), (#"{"Name":"n","Driver":"macvlan"}"#, 501, "macvlan"),
        (#"{"Name":"n","Driver":"overlay","EnableIPv4":false}"#, 400, "IPv4"),
        (#"{"Name":"n","Driver":"overlay","Scope":"local"}"#, 400, "scope"),
        (#"{"Name":"n","Driver":"overlay","ConfigOnly":true}"#, 501, "ConfigOnly"),
        (#"{"Name":"n","Driver":"overlay","ConfigFrom":{"Network":"c"}}"#, 501, "ConfigFrom"),
        (#"{"Name":"n","Driver":"overlay","IPAM":{"Driver":"weird"}}"#, 501, "weird"),
        (#"{"Name":"n","Driver":"overlay","IPAM":{"Options":{"o":"1"}}}"#, 501, "option o"),
        (#"{"Name":"n","Driver":"overlay","IPAM":{"Config":[{"Subnet":"fd00::5/64"}]}}"#, 400, "should be fd00::/64"),
        (#"{"Name":"n","Driver":"overlay","IPAM":{"Config":[{"Subnet":"fd00:/64"}]}}"#, 400, "give a subnet"),
        (
            #"{"Name":"n","Driver":"overlay","IPAM":{"Config":[{"Subnet":"fd00::/64"},{"Subnet":"fd01::/64"}]}}"#,
            501, "one subnet of IPv6"
        ),
        (
            #"{"Name":"n","Driver":"overlay","IPAM":{"Config":[{"Subnet":"fd00::/64","Gateway":"10.0.0.1"}]}}"#,
            400, "none of IPv6"
        ),
        (
            #"{"Name":"n","Driver":"overlay","IPAM":{"Config":[{"Subnet":"10.1.0.0/24"},{"Subnet":"10.2.0.0/24"}]}}"#,
            501, "once"
        ),
        (
            #"{"Name":"n","Driver":"overlay","IPAM":{"Config":[{"Subnet":"10.1.0.5/24"}]}}"#, 400,
            "should be 10.1.0.0/24"
        ),
        (#"{"Name":"n","Driver":"overlay","IPAM":{"Config":[{"Gateway":"10.1.0.1","IPRange":"fd00::/64"}]}}"#, 400, "none of IPv6"),
        (#"{"Name":"n","Driver":"overlay","Options":{"a":1}}"#, 400, "Options"),
    ])
    func `what cannot be said of an overlay network is refused by name`(body: String, status: Int, text: String) async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            let answer = try await client.send("POST", "/networks/create", body)
            #expect(answer.status == status && answer.message?.contains(text) == true, "\(answer.text)")
            #expect(try backend.clusterSnapshot().networks.isEmpty)
        }
    }

    @Test func `options and sizes reach the manager as they were said`() async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            let options = ["com.docker.network.driver.overlay.vxlanid_list": "5000", "com.docker.network.driver.mtu": "600", "x": ""]
            let sent = JSON.map(options).text
            let body = #"{"Name":"n","Driver":"overlay","Options":\#(sent),"IPAM":{"Config":[{"Subnet":"10.1.0.0/30"},{"Gateway":"fd00::1"}]}}"#
            #expect(try await client.send("POST", "/networks/create", body).status == 201)
            let spec = try #require(backend.clusterSnapshot().networks.first?.spec)
            #expect(spec.options == options && spec.ipam.subnet?.length == 30 && spec.ipam6?.gateway?.description == "fd00::1")
        }
    }

    @Test func `duplicates conflict, nulls and unknown fields pass`() async throws {
        try await Self.withNetwork { client, _ async throws in
            let again = try await client.send("POST", "/networks/create", Self.create)
            #expect(again.status == 409 && again.message == "network with name my_net already exists")
            let stack = #"{"name":"st_n1","driver":"overlay","IPAM":null,"Options":null,"Labels":null,"Whatever":1}"#
            #expect(try await client.send("POST", "/networks/create", stack).status == 201)
            #expect(try await client.send("GET", "/networks/st_n1").json()["Labels"] == nil)
        }
    }

    @Test func `filters come as maps and as lists`() async throws {
        try await Self.withNetwork { client, backend async throws in
            backend.addWorker()
            let other = #"{"Name":"my_other","Driver":"overlay"}"#
            #expect(try await client.send("POST", "/networks/create", other).status == 201)
            #expect(try await Self.names(client, #"{"name":{"my_":true}}"#) == ["my_net", "my_other"])
            #expect(try await Self.names(client, #"{"name":["^my_net$"]}"#) == ["my_net"])
            #expect(try await Self.names(client, #"{"label":["l1=v1"]}"#) == ["my_net"])
            #expect(try await Self.names(client, #"{"label":["l1=v2"]}"#) == [])
            #expect(try await Self.names(client, #"{"driver":{"overlay":true},"scope":{"swarm":true}}"#).count == 2)
            #expect(try await Self.names(client, #"{"driver":["bridge"]}"#) == [])
            #expect(try await Self.names(client, #"{"dangling":["true"]}"#) == ["my_other"])
            #expect(try await Self.names(client, #"{"dangling":["0"]}"#) == ["my_net"])
            #expect(try await Self.names(client, #"{"type":["builtin"]}"#) == [])
            #expect(try await Self.names(client, #"{"id":["net3"]}"#) == ["my_other"])
        }
    }

    @Test func `removing and pruning take only what is unused`() async throws {
        try await Self.withNetwork { client, backend async throws in
            backend.addWorker()
            for name in ["b", "c"] {
                let body = #"{"Name":"\#(name)","Driver":"overlay","Labels":{"keep":"\#(name)"}}"#
                _ = try await client.send("POST", "/networks/create", body)
            }
            let old = "/networks/prune?filters=%7B%22until%22:%5B%222001-01-01T00:00:00Z%22%5D%7D"
            #expect(try await client.send("POST", old).json() == ["NetworksDeleted": .null])
            #expect(
                try await client.send("POST", "/networks/prune?filters=%7B%22until%22:%5B%22soon%22%5D%7D").status
                    == 400)
            let kept = "/networks/prune?filters=%7B%22label!%22:%5B%22keep%3Dc%22%5D%7D"
            #expect(try await client.send("POST", kept).json() == ["NetworksDeleted": ["b"]])
            #expect(try await client.send("DELETE", "/networks/c").status == 204)
            #expect(try await client.send("DELETE", "/networks/c").status == 404)
            #expect(try await client.send("POST", "/networks/prune").json() == ["NetworksDeleted": .null])
        }
    }
}
