import Glibc
import Synchronization
import TestSupport
import Testing
import WeftBPF
import WeftDatapath
import WeftLinux
import WeftNet

// Two hosts of a swarm, each a network namespace, joined by a veth that is the underlay:
//
//   sandboxes    A1 10.77.0.11   A2 10.77.0.12          B1 10.77.0.21   B2 10.77.0.22 ...   (namespaces, eth0, MTU 1450)
//                   fd77::11        fd77::12               fd77::21        fd77::22 ...       (where a test asks for it)
//                     |               |                      |               |
//                 weft_from_container at wv…             weft_from_container at wv…
//              +------+---------------+------+        +------+---------------+------+
//   hosts      | A          lo 169.254.77.53 |        | B          lo 169.254.77.53 |      (namespaces)
//              |   weft_vxlan (collect_md)   |        |   weft_vxlan (collect_md)   |
//              +-------------+---------------+        +---------------+-------------+
//                 under 172.31.0.1  ------------ veth ----------  under 172.31.0.2
//                 weft_from_underlay                       weft_from_underlay         (MTU 1500)

/// How programs are attached in tests that do not say: WEFT_ATTACH, else as the kernel can.
let wantedAttachment: AttachmentKind? = getenv("WEFT_ATTACH").flatMap { AttachmentKind(rawValue: String(cString: $0)) }

/// True where the kernel lets us make namespaces and load programs.
let mayLoadPrograms = geteuid() == 0

/// Runs a command in a namespace, with the command line split at blanks. A failure is an error that shows what it printed.
@discardableResult
func shell(_ namespace: NetworkNamespace, _ command: String, allowFailure: Bool = false) throws -> ChildProcess.Outcome {
    let arguments = command.split(separator: " ").map(String.init)
    let outcome = try namespace.run { try ChildProcess.run(arguments) }
    if outcome.status != 0, !allowFailure {
        throw CommandFailure(command: command, output: outcome.output + outcome.errorOutput)
    }
    return outcome
}

struct CommandFailure: Error, CustomStringConvertible {
    let command: String
    let output: String
    var description: String { "\(command) failed: \(output)" }
}

/// Polls a condition; false when it has not come to hold in all the time that there is.
func eventually(_ condition: () throws -> Bool) throws -> Bool {
    let end = ContinuousClock.now + patience
    while ContinuousClock.now < end {
        if try condition() { return true }
        usleep(10_000)
    }
    return false
}

private let topologies = Atomic<Int>(0)

/// A sandbox's namespace and the host end that leads to it.
struct BPFSandbox: Sendable {
    let namespace: NetworkNamespace
    let interface: UInt32
    let endpoint: EndpointEntry
    var forwardKey: OverlayAddress { OverlayAddress(vni: endpoint.vni, address: endpoint.address) }

    /// Whether `count` pings to an address are answered. More are sent where one is late.
    func pings(_ address: String, count: Int = 1, options: String = "") throws -> Bool {
        try shell(namespace, "ping -n -q -c \(count) -i 0.01 -w 30 \(options) \(address)", allowFailure: true)
            .output.contains(" \(count) received")
    }

    /// Whether a ping to an address is not answered within a second.
    func hearsNothing(from address: String, options: String = "") throws -> Bool {
        try !shell(namespace, "ping -n -q -c 1 -W 1 \(options) \(address)", allowFailure: true)
            .output.contains(" 1 received")
    }
}

/// One host of the topology.
final class BPFHost: Sendable {
    let name: String
    let namespace: NetworkNamespace
    let vtep: IPv4Address
    let pinDirectory: String
    let programs: DatapathPrograms
    let underlay: UInt32

    fileprivate init(name: String, vtep: String, pinDirectory: String, attachment: AttachmentKind?) throws {
        self.name = name
        self.pinDirectory = pinDirectory
        let namespace = NetworkNamespace(path: "/run/netns/\(name)")
        self.namespace = namespace
        self.vtep = try #require(IPv4Address(vtep))
        try shell(namespace, "ip address add \(vtep)/24 dev under")
        try shell(namespace, "ip address add 169.254.77.53/32 dev lo")
        try shell(namespace, "ip link set lo up")
        try shell(namespace, "ip link set under up")
        try shell(namespace, "ip link add weft_vxlan type vxlan external dstport 4789")
        try shell(namespace, "ip link set weft_vxlan up")
        let programs = try DatapathPrograms.open(
            pinDirectory: pinDirectory, namespace: namespace, sizes: .small, attachment: attachment)
        let underlay = try namespace.run { if_nametoindex("under") }
        try programs.setConfig(DatapathConfig(underlayInterface: underlay, vtep: self.vtep))
        try programs.attachUnderlay(interface: underlay)
        try programs.attachVXLAN(interface: namespace.run { if_nametoindex("weft_vxlan") })
        self.programs = programs
        self.underlay = underlay
    }

    /// The programs as a weftd that starts anew finds them.
    func open(sizes: MapSizes = .small, attachment: AttachmentKind? = wantedAttachment) throws -> DatapathPrograms {
        try DatapathPrograms.open(pinDirectory: pinDirectory, namespace: namespace, sizes: sizes, attachment: attachment)
    }

    func counters(_ interface: UInt32 = 0) throws -> EndpointCounters {
        try programs.counters()[interface] ?? EndpointCounters()
    }

    func drops(_ reason: DropReason, _ interface: UInt32 = 0) throws -> UInt64 {
        try counters(interface).dropped[reason] ?? 0
    }
}

/// The drawing above: built by `init`, gone with `remove`.
final class BPFTopology: Sendable {
    static let gatewayMAC = "0a:77:65:66:74:01"
    let prefix: String
    let a: BPFHost
    let b: BPFHost
    private let namespaces = Mutex<[String]>([])
    private let sandboxes = Mutex<Int>(0)

    init(attachment: AttachmentKind? = wantedAttachment) throws {
        _ = try PinDirectory.mountFileSystemIfAbsent()
        let number = topologies.add(1, ordering: .relaxed).newValue
        prefix = "A\(getpid())n\(number)"
        let (nameA, nameB) = ("\(prefix)A", "\(prefix)B")
        for name in [nameA, nameB] { try shell(.current, "ip netns add \(name)") }
        try shell(.current, "ip -n \(nameA) link add under type veth peer name under netns \(nameB)")
        a = try BPFHost(name: nameA, vtep: "172.31.0.1", pinDirectory: "/sys/fs/bpf/weft-test/\(nameA)", attachment: attachment)
        b = try BPFHost(name: nameB, vtep: "172.31.0.2", pinDirectory: "/sys/fs/bpf/weft-test/\(nameB)", attachment: attachment)
        namespaces.withLock { $0 = [nameA, nameB] }
    }

    /// Builds the topology, and removes it after `body`, whatever happens there.
    static func with(
        attachment: AttachmentKind? = wantedAttachment, _ body: (BPFTopology) throws -> Void
    ) throws {
        let topology = try BPFTopology(attachment: attachment)
        defer { topology.remove() }
        try body(topology)
    }

    private func remove() {
        for name in namespaces.withLock({ $0 }) { _ = try? shell(.current, "ip netns delete \(name)", allowFailure: true) }
        for host in [a, b] { try? DatapathPrograms.removeAll(pinDirectory: host.pinDirectory) }
    }

    /// Adds a sandbox on `host` and tells both hosts, as a manager would.
    func addSandbox(
        on host: BPFHost, _ address: String, vni: UInt32 = 4096, subnet: String = "10.77.0.0/24",
        gateway: String = "10.77.0.1", isInternal: Bool = false, ipv6: String? = nil
    ) throws -> BPFSandbox {
        let number = sandboxes.withLock {
            $0 += 1
            return $0
        }
        let name = "\(prefix)s\(number)"
        let wire = "wv\(number)"
        try shell(.current, "ip netns add \(name)")
        namespaces.withLock { $0.append(name) }
        let sandbox = NetworkNamespace(path: "/run/netns/\(name)")
        let ipv4 = try #require(IPv4Address(address))
        let mac = MACAddress(forIPv4: ipv4)
        let prefix = try #require(IPv4Prefix(subnet))
        let endpoint = EndpointEntry(
            vni: try #require(VNI(vni)), address: ipv4, mac: mac, subnet: prefix, gateway: try #require(IPv4Address(gateway)),
            isInternal: isInternal,
            ipv6: try ipv6.map { text in
                let address = try #require(IPv6Address(text))
                return EndpointIPv6(
                    address: address, subnet: try #require(IPv6Prefix(address, length: 64)),
                    gateway: try #require(IPv6Address("fd77::1")))
            })
        try shell(
            host.namespace,
            "ip link add \(wire) address \(Self.gatewayMAC) mtu 1450 type veth peer name eth0 netns \(name) mtu 1450 address \(mac)")
        try shell(host.namespace, "sysctl -qw net.ipv6.conf.\(wire).disable_ipv6=1")
        try shell(host.namespace, "ip link set \(wire) up")
        try shell(sandbox, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=\(ipv6 == nil ? 1 : 0)")
        if let ipv6 { try shell(sandbox, "ip address add \(ipv6)/64 dev eth0 nodad") }
        for command in [
            "ip link set lo up", "ip address add \(address)/\(prefix.length) dev eth0", "ip link set eth0 up",
            "ip route add default via \(gateway)", "ip route add 169.254.77.53/32 dev eth0 scope link",
        ] { try shell(sandbox, command) }
        try shell(host.namespace, "ip route add \(address)/32 dev \(wire)")
        try shell(host.namespace, "ip neighbor add \(address) lladdr \(mac) dev \(wire) nud permanent")

        let interface = try host.namespace.run { if_nametoindex(wire) }
        try host.programs.putEndpoint(endpoint, interface: interface)
        try host.programs.attachEndpoint(interface: interface)
        let result = BPFSandbox(namespace: sandbox, interface: interface, endpoint: endpoint)
        for other in [a, b] {
            let target: ForwardTarget =
                other === host ? .local(interface: interface, mac: mac) : .remote(vtep: host.vtep, mac: mac)
            try other.programs.putForward(result.forwardKey, target)
            if let address = endpoint.ipv6?.address {
                try other.programs.putForward(OverlayAddress(vni: endpoint.vni, address: address), target)
            }
            try other.programs.putSubnet(.v4(prefix), endpoint.vni)
            if other !== host { try other.programs.putVTEPs([(Membership(vni: endpoint.vni, vtep: host.vtep), MemberTunnel(mtu: nil))]) }
        }
        return result
    }
}
