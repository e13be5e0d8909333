import Foundation
import Logging
import Synchronization
import Testing
import WeftModel
import WeftNet
import WeftPlugin

/// Bodies are as dockerd 20.10 writes them.
@Suite("The engine's driver")
struct PluginServiceTests {
    let backend: MemoryBackend
    let store = MemoryStore()
    let service: PluginService

    init() throws {
        backend = MemoryBackend(networks: [
            try network("net", "10.77.1.0/24"), try network("closed", "10.77.2.0/24", isInternal: true),
            try network("dual", "10.77.3.0/24", "fd77:1::/64"),
        ])
        service = try PluginService(backend: backend, store: store, journal: .temporary(), logger: Logger(label: "test"))
    }

    private func call(_ method: String, _ body: String, on service: PluginService? = nil) async throws -> String {
        let answer = await (service ?? self.service).answer(method: method, body: Array(body.utf8))
        return String(decoding: try #require(answer), as: UTF8.self)
    }

    private func error(_ method: String, _ body: String) async throws -> String {
        struct Failure: Decodable { let Err, Error: String }
        let failure = try JSONDecoder().decode(Failure.self, from: Data(try await call(method, body).utf8))
        #expect(failure.Err == failure.Error, "the one is read of NetworkDriver, the other of IpamDriver")
        return failure.Err
    }

    private func createNetwork(_ id: String = "d1", of weft: String = "id-net", subnet: String = "10.77.1.0/24") async throws {
        let answer = try await call(
            "NetworkDriver.CreateNetwork",
            #"{"NetworkID":"\#(id)","Options":{"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{"weft.id":"\#(weft)"}},"IPv4Data":[{"AddressSpace":"weftlocal","Pool":"\#(subnet)","Gateway":"10.77.1.1/24"}],"IPv6Data":[]}"#
        )
        #expect(answer == "{}")
    }

    @Test("Activation and capabilities are what dockerd expects, whatever the body", arguments: ["null", "", "{}"])
    func activation(body: String) async throws {
        #expect(try await call("Plugin.Activate", body) == #"{"Implements":["NetworkDriver","IpamDriver"]}"#)
        #expect(try await call("NetworkDriver.GetCapabilities", body) == #"{"ConnectivityScope":"global","Scope":"local"}"#)
        #expect(
            try await call("IpamDriver.GetCapabilities", body)
                == #"{"RequiresMACAddress":false,"RequiresRequestReplay":false}"#)
        #expect(
            try await call("IpamDriver.GetDefaultAddressSpaces", body)
                == #"{"GlobalDefaultAddressSpace":"weftglobal","LocalDefaultAddressSpace":"weftlocal"}"#)
        #expect(await service.answer(method: "NetworkDriver.Nonsense", body: []) == nil)
    }

    @Test("An endpoint of a task's container says so; only weftd's own options are taken, and all of them")
    func task() async throws {
        try await createNetwork()
        func create(_ id: String, _ options: String) -> String {
            #"{"NetworkID":"d1","EndpointID":"\#(id)","Options":{\#(options)},"Interface":{"Address":"10.77.1.9/24"}}"#
        }
        let options = #""weft.service":"s","weft.task":"t","weft.slot":"2","com.docker.network.portmap":[]"#
        #expect(try await call("NetworkDriver.CreateEndpoint", create("e1", options)).contains("MacAddress"))
        _ = try await call(
            "NetworkDriver.Join", #"{"NetworkID":"d1","EndpointID":"e1","SandboxKey":"/var/run/docker/netns/k"}"#)
        let task = backend.state.withLock { $0.attached[EndpointID("e1")]?.task }
        #expect(task == ServingTask(service: ServiceID("s"), task: TaskID("t"), slot: 2))
        #expect(
            try await error("NetworkDriver.CreateEndpoint", create("e2", #""weft.task":"t""#))
                == "weft.service, weft.task, weft.slot are for the containers of services' tasks")
        #expect(
            try await error("NetworkDriver.CreateEndpoint", create("e2", #""other":"1""#))
                == "--driver-opt other is none of Weft's options")
    }

    @Test("A container's life: address, endpoint, join, leave, and everything given back")
    func life() async throws {
        #expect(
            try await call(
                "IpamDriver.RequestPool",
                #"{"AddressSpace":"weftlocal","Pool":"10.77.1.0/24","SubPool":"","Options":{"weft.id":"id-net"},"V6":false}"#)
                == #"{"Data":{},"Pool":"10.77.1.0/24","PoolID":"id-net"}"#)
        #expect(
            try await call(
                "IpamDriver.RequestAddress",
                #"{"PoolID":"id-net","Address":"10.77.1.1","Options":{"RequestAddressType":"com.docker.network.gateway"}}"#)
                == #"{"Address":"10.77.1.1/24","Data":{}}"#)
        try await createNetwork()
        #expect(
            try await call("IpamDriver.RequestAddress", #"{"PoolID":"id-net","Address":"","Options":null}"#)
                == #"{"Address":"10.77.1.2/24","Data":{}}"#)
        let create =
            #"{"NetworkID":"d1","EndpointID":"e1","Interface":{"Address":"10.77.1.2/24","AddressIPv6":"","MacAddress":""},"Options":{"com.docker.network.endpoint.exposedports":[{"Proto":6,"Port":80}],"com.docker.network.portmap":[]}}"#
        #expect(try await call("NetworkDriver.CreateEndpoint", create) == #"{"Interface":{"MacAddress":"02:42:0a:4d:01:02"}}"#)

        // weftd is killed and started: the same files, nothing else.
        let again = try PluginService(backend: backend, store: store, journal: .temporary(), logger: Logger(label: "test"))
        let join =
            #"{"NetworkID":"d1","EndpointID":"e1","SandboxKey":"/var/run/docker/netns/0123456789ab","Options":{}}"#
        let answer =
            #"{"InterfaceName":{"DstPrefix":"eth","SrcName":"wc00000001"},"StaticRoutes":[{"Destination":"169.254.77.53/32","RouteType":1}]}"#
        #expect(try await call("NetworkDriver.Join", join, on: again) == answer)
        #expect(try await call("NetworkDriver.Join", join, on: again) == answer, "asked twice, done once")
        #expect(backend.state.withLock { $0.attached.count } == 1)
        #expect(backend.state.withLock { $0.keys.first } == "/var/run/docker/netns/0123456789ab")
        #expect(
            try await call("NetworkDriver.EndpointOperInfo", #"{"NetworkID":"d1","EndpointID":"e1"}"#, on: again)
                == #"{"Value":{"weft.network":"net","weft.vni":"4097"}}"#)
        for _ in 1...2 {
            #expect(try await call("NetworkDriver.Leave", #"{"NetworkID":"d1","EndpointID":"e1"}"#, on: again) == "{}")
            #expect(try await call("NetworkDriver.DeleteEndpoint", #"{"NetworkID":"d1","EndpointID":"e1"}"#, on: again) == "{}")
            #expect(try await call("IpamDriver.ReleaseAddress", #"{"PoolID":"id-net","Address":"10.77.1.2"}"#, on: again) == "{}")
        }
        #expect(backend.state.withLock { $0.attached.isEmpty && $0.reserved.isEmpty })
        #expect(try await call("NetworkDriver.DeleteNetwork", #"{"NetworkID":"d1"}"#, on: again) == "{}")
        #expect(store.state.withLock { $0 } == PluginState())
    }

    @Test("A network with IPv6 has a pool and an address for each family")
    func bothFamilies() async throws {
        #expect(
            try await call(
                "IpamDriver.RequestPool",
                #"{"AddressSpace":"weftlocal","Pool":"fd77:1::/64","SubPool":"","Options":{"weft.id":"id-dual"},"V6":true}"#)
                == #"{"Data":{},"Pool":"fd77:1::/64","PoolID":"id-dual/IPv6"}"#)
        #expect(
            try await call(
                "IpamDriver.RequestAddress",
                #"{"PoolID":"id-dual/IPv6","Address":"fd77:1::1","Options":{"RequestAddressType":"com.docker.network.gateway"}}"#)
                == #"{"Address":"fd77:1::1/64","Data":{}}"#)
        #expect(
            try await call("IpamDriver.RequestAddress", #"{"PoolID":"id-dual/IPv6","Address":"fd77:1::5","Options":null}"#)
                == #"{"Address":"fd77:1::5/64","Data":{}}"#, "an --aux-address")
        let create = { (pools: String) in
            #"{"NetworkID":"d3","Options":{"com.docker.network.generic":{"weft.id":"id-dual"}},"IPv4Data":[{"AddressSpace":"weftlocal","Pool":"10.77.3.0/24"}],"IPv6Data":[\#(pools)]}"#
        }
        #expect(try await error("NetworkDriver.CreateNetwork", create("")).contains("--ipv6 --ipam-driver weft"))
        let pool = #"{"AddressSpace":"weftlocal","Pool":"fd77:1::/64","Gateway":"fd77:1::1/64"}"#
        #expect(try await call("NetworkDriver.CreateNetwork", create(pool)) == "{}")
        #expect(
            try await call("IpamDriver.RequestAddress", #"{"PoolID":"id-dual/IPv6","Address":"","Options":null}"#)
                == #"{"Address":"fd77:1::2/64","Data":{}}"#)
        #expect(
            try await error("IpamDriver.RequestAddress", #"{"PoolID":"id-dual/IPv6","Address":"10.77.3.2","Options":null}"#)
                .contains("no IPv6 address"))
        let endpoint = { (address: String) in
            #"{"NetworkID":"d3","EndpointID":"e3","Interface":{"Address":"10.77.3.2/24","AddressIPv6":"\#(address)","MacAddress":""}}"#
        }
        #expect(try await error("NetworkDriver.CreateEndpoint", endpoint("fd77:1::2")).contains("prefix length"))
        _ = try await call("NetworkDriver.CreateEndpoint", endpoint("fd77:1::2/64"))
        _ = try await call("NetworkDriver.Join", #"{"NetworkID":"d3","EndpointID":"e3","SandboxKey":"/k"}"#)
        #expect(backend.state.withLock { $0.attached[EndpointID("e3")]?.ipv6?.description } == "fd77:1::2")
        #expect(try await call("IpamDriver.ReleaseAddress", #"{"PoolID":"id-dual/IPv6","Address":"fd77:1::2"}"#) == "{}")
        #expect(backend.state.withLock { $0.reserved.isEmpty })
    }

    @Test("An address of the user's is not echoed, an internal network has no way out")
    func fields() async throws {
        try await createNetwork("d2", of: "closed", subnet: "10.77.2.0/24")
        let create =
            #"{"NetworkID":"d2","EndpointID":"e1","Interface":{"Address":"10.77.2.9/24","AddressIPv6":"","MacAddress":"02:00:00:00:00:09"},"Options":{}}"#
        #expect(try await call("NetworkDriver.CreateEndpoint", create) == #"{"Interface":{}}"#)
        let join = try await call("NetworkDriver.Join", #"{"NetworkID":"d2","EndpointID":"e1","SandboxKey":"/k","Options":{}}"#)
        #expect(join.contains(#""DisableGatewayService":true"#) && !join.contains(#""Gateway""#))
        #expect(backend.state.withLock { $0.attached[EndpointID("e1")]?.mac?.description } == "02:00:00:00:00:09")
    }

    @Test("What cannot be done is said in a sentence that tells what to do")
    func refusals() async throws {
        #expect(
            try await error("IpamDriver.RequestPool", #"{"AddressSpace":"weftlocal","Pool":"","SubPool":"","Options":null,"V6":false}"#)
                .contains("--ipam-opt weft.id=ID"))
        #expect(
            try await error("IpamDriver.RequestPool", #"{"Pool":"10.9.0.0/24","Options":{"weft.id":"net"},"V6":false}"#)
                .contains("10.77.1.0/24, not 10.9.0.0/24"))
        #expect(
            try await error("IpamDriver.RequestPool", #"{"Pool":"","SubPool":"10.77.1.128/25","Options":{"weft.id":"net"}}"#)
                .contains("--ip-range"))
        #expect(try await error("IpamDriver.RequestPool", #"{"Pool":"","Options":{"weft.id":"net"},"V6":true}"#).contains("no IPv6"))
        #expect(
            try await error("IpamDriver.RequestPool", #"{"Pool":"","Options":{"weft.id":"net","io":"1"}}"#).contains("--ipam-opt io"))
        #expect(
            try await error(
                "IpamDriver.RequestAddress",
                #"{"PoolID":"id-net","Address":"10.77.1.9","Options":{"RequestAddressType":"com.docker.network.gateway"}}"#
            )
            .contains("gateway of network net is 10.77.1.1"))
        // Before CreateNetwork, an address is an --aux-address.
        #expect(
            try await error("IpamDriver.RequestAddress", #"{"PoolID":"id-net","Address":"10.77.1.7","Options":null}"#).contains(
                "--aux-address"))
        #expect(
            try await call("IpamDriver.RequestAddress", #"{"PoolID":"id-net","Address":"10.77.1.5","Options":null}"#)
                == #"{"Address":"10.77.1.5/24","Data":{}}"#)
        let network = "NetworkDriver.CreateNetwork"
        #expect(
            try await error(network, #"{"NetworkID":"d","Options":{"com.docker.network.generic":{}},"IPv4Data":[]}"#).contains(
                "-o weft.id=ID"))
        #expect(
            try await error(
                network,
                #"{"NetworkID":"d","Options":{"com.docker.network.generic":{"weft.id":"net"}},"IPv4Data":[{"AddressSpace":"LocalDefault","Pool":"10.77.1.0/24"}]}"#
            )
            .contains("--ipam-driver weft"))
        #expect(
            try await error(
                network,
                #"{"NetworkID":"d","Options":{"com.docker.network.generic":{"weft.id":"net","encrypted":""}},"IPv4Data":[]}"#
            )
            .contains("-o encrypted"))
        #expect(
            try await error("NetworkDriver.CreateEndpoint", #"{"NetworkID":"unknown","EndpointID":"e"}"#).contains("docker network rm"))
        #expect(try await error("IpamDriver.RequestAddress", "[1]").contains("not what the plugin protocol says"))
        // Deep enough to end a decoder that follows it down.
        for depth in [513, 100_000] {
            let body = String(repeating: "[", count: depth)
            #expect(try await error("IpamDriver.RequestAddress", body).contains("not what the plugin protocol says"))
        }
        try await createNetwork()
        for mac in ["01:00:5e:00:00:01", "00:00:00:00:00:00", "xyz"] {
            let body =
                #"{"NetworkID":"d1","EndpointID":"e","Interface":{"Address":"10.77.1.2/24","AddressIPv6":"","MacAddress":"\#(mac)"}}"#
            #expect(try await error("NetworkDriver.CreateEndpoint", body).contains(mac))
        }
        #expect(
            try await error(
                "NetworkDriver.CreateEndpoint",
                #"{"NetworkID":"d1","EndpointID":"e","Interface":{"Address":"10.77.1.2/24","AddressIPv6":"fd00::2/64","MacAddress":""}}"#
            )
            .contains("--ip6"))
        #expect(
            try await error("NetworkDriver.Join", #"{"NetworkID":"d1","EndpointID":"none","SandboxKey":"/k"}"#).contains("endpoint none"))
    }

    @Test("Outside a swarm, taking away succeeds and making is refused")
    func outsideSwarm() async throws {
        backend.state.withLock { $0.isMember = false }
        for (method, body) in [
            ("NetworkDriver.Leave", #"{"NetworkID":"d","EndpointID":"e"}"#),
            ("NetworkDriver.DeleteEndpoint", #"{"NetworkID":"d","EndpointID":"e"}"#),
            ("IpamDriver.ReleaseAddress", #"{"PoolID":"p","Address":"10.0.0.2"}"#),
            ("IpamDriver.ReleasePool", #"{"PoolID":"p"}"#), ("NetworkDriver.DeleteNetwork", #"{"NetworkID":"d"}"#),
        ] {
            #expect(try await call(method, body) == "{}")
        }
        #expect(try await error("IpamDriver.RequestPool", #"{"Pool":"","Options":{"weft.id":"net"}}"#) == "no swarm")
    }

    @Test("What a former version saved of its endpoints is read")
    func formerState() throws {
        let text =
            #"{"endpoints":{"e1":{"ipv4":"10.77.1.2","mac":"02:42:0a:4d:01:02","network":"id-a","resolverLength":31,"sandbox":"/s"}},"networks":{"l":"id-a"}}"#
        let state = try JSONDecoder().decode(PluginState.self, from: Data(text.utf8))
        let endpoint = try #require(state.endpoints["e1"])
        #expect(
            endpoint.endpoint
                == EndpointSpec(
                    network: NetworkID("id-a"), ipv4: IPv4Address("10.77.1.2"), mac: MACAddress("02:42:0a:4d:01:02")))
        #expect(endpoint.sandbox == "/s" && endpoint.resolverLength == 31)
        #expect(try JSONDecoder().decode(PluginState.self, from: try JSONEncoder().encode(state)) == state)
    }
}
