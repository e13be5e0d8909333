import CLab
import WeftLinux
import WeftNet
import WeftWire

/// The bridge in the underlay's namespace, and the hosts' cables to it.
struct UnderlayLink {
    static let bridge = "br0"
    static let mtu = 1500

    private let namespace: NetworkNamespace
    private let socket: NetlinkSocket

    /// Makes the bridge in the namespace at `path`.
    init(path: String) throws {
        namespace = NetworkNamespace(path: path)
        socket = try NetlinkSocket.open(in: namespace)
        try namespace.run { try check(clab_bridge_add(Self.bridge), "make the bridge") }
        try Self.setUp(Self.bridge, address: Lab.gateway, on: socket)
        // As a router it says at once that there is no way further; without it whoever asks a resolver outside waits.
        // By the firewall, as routing says so once a second at most, and by a code that every socket takes for final.
        try Sysctl(in: namespace).write("net.ipv4.ip_forward", "1")
        try Sysctl(in: namespace).write("net.ipv4.icmp_ratelimit", "0")
        try Firewall(table: "inet lab", in: namespace).apply(Self.outside)
    }

    private static let outside = """
        \tchain outside {
        \t\ttype filter hook prerouting priority filter; policy accept;
        \t\tfib daddr type unicast ip daddr != 172.30.0.0/24 reject with icmp port-unreachable
        \t}

        """

    func connect(_ host: LabHost) throws {
        let inside = NetworkNamespace(path: host.networkNamespace)
        let descriptor = try inside.open()
        let number = UInt64(host.number)
        try socket.change(
            .createVeth(
                host: VethEnd(name: host.name, mac: MACAddress(rawValue: 0x02_77_6c_01_00_00 | number), mtu: Self.mtu),
                peer: VethEnd(name: "eth0", mac: MACAddress(rawValue: 0x02_77_6c_00_00_00 | number), mtu: Self.mtu),
                peerNamespace: descriptor.rawValue),
            "connect \(host.name)")
        let port = host.name
        try namespace.run { try check(clab_bridge_join(Self.bridge, port), "join \(port) to the bridge") }
        try Self.setUp(port, address: nil, on: socket)
        let hostSocket = try NetlinkSocket.open(in: inside)
        try Self.setUp("eth0", address: host.address, on: hostSocket)
        guard let all = IPv4Prefix("0.0.0.0/0"), let gateway = IPv4Address(Lab.gateway) else { return }
        try hostSocket.change(
            .replaceRoute(RouteMessage(destination: all, gateway: gateway)), "add the default route of \(host.name)")
    }

    private static func setUp(_ name: String, address: String?, on socket: NetlinkSocket) throws {
        guard let index = try socket.link(named: name)?.index else {
            throw SystemError("find interface \(name)", code: 19)  // ENODEV
        }
        if let address = address.flatMap({ IPv4Address($0) }) {
            try socket.create(
                .addAddress(AddressMessage(interface: index, address: address, prefixLength: 24)),
                "give \(name) the address \(address)")
        }
        try socket.change(.setLink(index: index, LinkChange(isUp: true)), "set \(name) up")
    }
}
