import Glibc
import Testing
import WeftLinux
import WeftNet
import WeftWire

@Suite(.enabled(if: getuid() == 0, "needs root: makes network namespaces"), .timeLimit(.minutes(5)))
struct NetlinkTests {
    @Test("a veth pair is made with its peer in another namespace, named and addressed by one message")
    func veth() throws {
        let topology = try KernelTopology()
        let (here, there) = (try topology.namespace("x"), try topology.namespace("y"))
        let netlink = try NetlinkSocket.open(in: here)
        let (near, far) = (MACAddress(rawValue: 0x0200_0000_0001), MACAddress(rawValue: 0x0200_0000_0002))
        let peer = try there.open()
        try netlink.change(
            .createVeth(
                host: VethEnd(name: "near", mac: near, mtu: 1400), peer: VethEnd(name: "far", mac: far, mtu: 1300),
                peerNamespace: peer.rawValue), "make a veth")
        let nearLink = try #require(try netlink.link(named: "near"))
        let farLink = try #require(try HostInterfaces.read(in: there).link(name: "far"))
        #expect(nearLink.kind == "veth")
        #expect(nearLink.lowerIndex == farLink.index)
        #expect([nearLink.mac, farLink.mac] == [near, far])
        #expect([nearLink.mtu, farLink.mtu] == [1400, 1300])
        #expect(!nearLink.isUp)

        try netlink.change(
            .setLink(
                index: nearLink.index,
                LinkChange(isUp: true, newName: "renamed", mtu: 1350, alias: "weft:x", reversePathFilter: 2)), "set it")
        let renamed = try #require(try netlink.link(named: "renamed"))
        #expect(renamed.isUp)
        #expect(renamed.mtu == 1350)
        #expect(renamed.alias == "weft:x")
        #expect(renamed.reversePathFilter == 2)
        #expect(try netlink.link(named: "near") == nil)
        try netlink.change(.deleteLink(index: renamed.index), "delete it")
        #expect(try HostInterfaces.read(in: there).link(name: "far") == nil, "the other end goes with it")
    }

    @Test("addresses, routes, rules and neighbours are added, found, and removed; twice is no harm")
    func objects() throws {
        let topology = try KernelTopology()
        let namespace = try topology.namespace("x")
        let netlink = try NetlinkSocket.open(in: namespace)
        let mac = MACAddress(rawValue: 0x0200_0000_0001)
        try netlink.change(
            .createVeth(
                host: VethEnd(name: "a", mac: mac, mtu: 1500),
                peer: VethEnd(name: "b", mac: MACAddress(rawValue: 0x0200_0000_0002), mtu: 1500), peerNamespace: nil),
            "make a veth")
        let (a, b) = (try #require(try netlink.link(named: "a")).index, try #require(try netlink.link(named: "b")).index)
        for index in [a, b] { try netlink.change(.setLink(index: index, LinkChange(isUp: true)), "set up") }

        let address = AddressMessage(interface: a, address: try #require(IPv4Address("10.9.0.1")), prefixLength: 24)
        for _ in 0..<2 { try netlink.create(.addAddress(address), "add the address") }
        #expect(try netlink.dump(.dumpAddresses(), "list") { AddressMessage($0) }.contains(address))
        let route = RouteMessage(
            destination: try #require(IPv4Prefix("10.99.0.0/16")), table: 7700, interface: a,
            gateway: IPv4Address("10.9.0.7"), preferredSource: address.address)
        for _ in 0..<2 { try netlink.change(.replaceRoute(route), "add the route") }
        #expect(try netlink.dump(.dumpRoutes(table: 7700), "list") { RouteMessage($0) } == [route])
        let rule = RuleMessage(table: 7700, priority: 100)
        for _ in 0..<2 { try netlink.create(.addRule(rule), "add the rule") }
        #expect(try netlink.dump(.dumpRules(), "list") { RuleMessage($0) }.filter { $0 == rule }.count == 1)
        let neighbour = NeighbourMessage(interface: a, address: try #require(IPv4Address("10.9.0.2")), mac: mac)
        for _ in 0..<2 { try netlink.change(.replaceNeighbour(neighbour), "add the neighbour") }
        #expect(try netlink.dump(.dumpNeighbours(), "list") { NeighbourMessage($0) }.contains(neighbour))

        for _ in 0..<2 {
            try netlink.remove(.deleteNeighbour(neighbour), "remove the neighbour")
            try netlink.remove(.deleteRule(rule), "remove the rule")
            try netlink.remove(.deleteRoute(route), "remove the route")
            try netlink.remove(.deleteAddress(address), "remove the address")
        }
        #expect(try !netlink.dump(.dumpAddresses(), "list") { AddressMessage($0) }.contains(address))
        #expect(try netlink.dump(.dumpRoutes(), "list") { RouteMessage($0) }.filter { $0.table == 7700 }.isEmpty)
        #expect(try !netlink.dump(.dumpRules(), "list") { RuleMessage($0) }.contains(rule))
        #expect(try !netlink.dump(.dumpNeighbours(), "list") { NeighbourMessage($0) }.contains(neighbour))
    }

    @Test("a refusal says what was tried and why, in the kernel's words where it has any")
    func refusals() throws {
        let topology = try KernelTopology()
        let netlink = try NetlinkSocket.open(in: try topology.namespace("x"))
        let route = RouteMessage(
            destination: try #require(IPv4Prefix("10.99.0.0/16")), gateway: IPv4Address("203.0.113.1"))
        let error = #expect(throws: SystemError.self) { try netlink.change(.replaceRoute(route), "add the route") }
        #expect(error?.code == ENETUNREACH)
        #expect("\(try #require(error))" == "Could not add the route: Network is unreachable (Nexthop has invalid gateway).")
    }

    @Test("a socket opened in a namespace stays there, and the thread that asked does not go")
    func namespaces() throws {
        let topology = try KernelTopology()
        let namespace = try topology.namespace("x")
        let before = try NetworkNamespace.current.identity()
        let netlink = try NetlinkSocket.open(in: namespace)
        #expect(try netlink.dump(.dumpLinks(), "list") { LinkMessage($0) }.map(\.name) == ["lo"])
        #expect(try NetworkNamespace(path: "/proc/thread-self/ns/net").identity() == before)
        #expect(try namespace.identity() != before)
        #expect(try namespace.isSame(as: topology.path("x")))
        #expect(throws: SystemError.self) { try NetworkNamespace(path: "/run/netns/there-is-none").run {} }
        #expect(throws: SystemError.self) { try NetworkNamespace(path: "/proc/self/ns/mnt").run {} }
    }

    @Test("a dump of thousands of objects is whole")
    func largeDump() throws {
        let topology = try KernelTopology()
        let netlink = try NetlinkSocket.open(in: try topology.namespace("x"))
        let loopback = try #require(try netlink.link(named: "lo")).index
        let routes = (0..<5000).map { number in
            RouteMessage(
                destination: IPv4Prefix(host: IPv4Address(rawValue: 0x0a00_0000 + number)), table: 7700,
                interface: loopback, isLinkScope: true)
        }
        for route in routes { try netlink.change(.replaceRoute(route), "add a route") }
        #expect(try netlink.dump(.dumpRoutes(table: 7700), "list") { RouteMessage($0) } == routes)
    }

    @Test("settings are those of the namespace; a name cannot leave /proc/sys")
    func sysctl() throws {
        let topology = try KernelTopology()
        let namespace = try topology.namespace("x")
        let here = try Sysctl().read("net.ipv4.ip_forward")
        let there = Sysctl(in: namespace)
        for value in ["1", "0", "1"] {
            try there.write("net.ipv4.ip_forward", value)
            #expect(try there.read("net.ipv4.ip_forward") == value)
        }
        #expect(try Sysctl().read("net.ipv4.ip_forward") == here)
        #expect(try there.read("net/ipv4/conf/lo/rp_filter").isEmpty == false)
        #expect(throws: SystemError.self) { try there.read("net/../../1/environ") }
    }

    @Test("a firewall table is replaced as a whole or not at all")
    func firewall() throws {
        let topology = try KernelTopology()
        let firewall = Firewall(table: "inet weft_test", in: try topology.namespace("x"))
        #expect(try firewall.listing() == nil)
        try firewall.apply("chain one {}\n")
        try firewall.apply("chain two {}\n")
        let listing = try #require(try firewall.listing())
        #expect(listing.contains("chain two"))
        #expect(!listing.contains("chain one"))
        let error = #expect(throws: SystemError.self) { try firewall.apply("chain three {}\nchain bad { nonsense }\n") }
        #expect("\(try #require(error))".contains("nonsense"))
        #expect(try firewall.listing() == listing)
        for _ in 0..<2 { try firewall.remove() }
        #expect(try firewall.listing() == nil)
    }

    @Test("a child's output, error output and status come back; a program that is not there is named")
    func childProcess() throws {
        let long = String(repeating: "weft", count: 100_000)
        let outcome = try ChildProcess.run(["sh", "-c", "cat; echo trouble >&2; exit 7"], input: long)
        #expect(outcome.status == 7)
        #expect(outcome.output == long)
        #expect(outcome.errorOutput == "trouble\n")
        #expect(try ChildProcess.run(["sh", "-c", "kill -TERM $$"]).status == 143)
        let error = #expect(throws: SystemError.self) { try ChildProcess.run(["no-such-program-of-weft"]) }
        #expect("\(try #require(error))".contains("no-such-program-of-weft"))
    }

    @Test("interfaces, addresses and routes of a host")
    func hostInterfaces() throws {
        let topology = try KernelTopology()
        let (first, _) = try topology.twoHosts()
        var host = try HostInterfaces.read(in: first)
        let address = try #require(IPv4Address("172.30.0.1"))
        #expect(host.link(with: address)?.name == "eth0")
        #expect(host.address(ofInterface: "eth0") == address)
        #expect(host.defaultLink == nil)
        #expect(host.defaultAddress == address, "the only one there is")
        #expect(host.routedPrefixes.map(\.description) == ["172.30.0.0/24"])
        try run(in: first, "ip route add default via 172.30.0.2")
        host = try HostInterfaces.read(in: first)
        #expect(host.defaultLink?.name == "eth0")
        #expect(host.routedPrefixes.map(\.description) == ["172.30.0.0/24"])
    }

    @Test("files are replaced whole; trees are made and removed without following links")
    func files() throws {
        let folder = "/tmp/weft-test-\(getpid())"
        defer { try? FileSystem.removeTree(folder) }
        try FileSystem.makeDirectory("\(folder)/a/b")
        try FileSystem.makeDirectory("\(folder)/a/b")
        let path = "\(folder)/a/file"
        try FileSystem.writeAtomically(Array("one".utf8), to: path)
        try FileSystem.writeAtomically(Array("two".utf8), to: path, mode: 0o640)
        #expect(try FileSystem.readText(path) == "two")
        #expect(try FileSystem.list("\(folder)/a") == ["b", "file"])
        #expect(throws: SystemError.self) { try FileSystem.makeDirectory(path) }
        #expect(throws: SystemError.self) { try FileSystem.writeAtomically([], to: "\(folder)/none/file") }
        try FileSystem.makeDirectory("\(folder)/kept")
        try FileSystem.writeAtomically([1], to: "\(folder)/kept/file")
        #expect(symlink("\(folder)/kept", "\(folder)/a/link") == 0)
        for _ in 0..<2 { try FileSystem.removeTree("\(folder)/a") }
        #expect(try FileSystem.list(folder) == ["kept"])
        #expect(try FileSystem.read("\(folder)/kept/file") == [1])
    }

    @Test("the machine and its processes")
    func system() throws {
        #expect(!HostSystem.hostname.isEmpty)
        #expect(["x86_64", "aarch64"].contains(HostSystem.architecture))
        #expect(HostSystem.memoryBytes > 1 << 26)
        let start = HostSystem.monotonicClock
        #expect(HostSystem.monotonicClock >= start)
        #expect(HostSystem.wallClock > 1_700_000_000_000_000_000)
        #expect(HostSystem.randomBytes(32) != HostSystem.randomBytes(32))
        #expect(ProcessTable.startTime(of: getpid()) != nil)
        #expect(ProcessTable.startTime(of: 0) == nil)
        #expect(ProcessTable.isAlive(getpid()))
        #expect(throws: SystemError.self) { try ProcessTable.kill(-1, signal: SIGTERM) }
    }
}
