internal import Synchronization
internal import WeftDatapath
internal import WeftLinux
internal import WeftModel
internal import WeftNet
internal import WeftWire

/// The nftables table `inet weft`, and Weft's part in the engine's. Wildcards on interface names keep it the same whatever endpoints
/// there are; it changes with the swarm's nodes and with the host's own interfaces.
final class FirewallTable: Sendable {
    private let firewall: Firewall
    /// What was set here, and how `nft` of this host prints it.
    private let applied = Mutex<(body: String, printed: String)?>(nil)

    private let engine: EngineFirewall

    init(in namespace: NetworkNamespace) {
        firewall = Firewall(table: "inet weft", in: namespace)
        engine = EngineFirewall(namespace: namespace)
    }

    func apply(_ surroundings: Surroundings) throws {
        let body = Self.body(surroundings)
        try firewall.apply(body)
        let listing = try firewall.listing() ?? ""
        applied.withLock { $0 = (body, Self.words(listing)) }
        try engine.apply(bridges: surroundings.engineBridges)
    }

    /// True if the table is there, complete and unchanged.
    func isIntact(_ surroundings: Surroundings) throws -> Bool {
        guard let listing = try firewall.listing() else { return false }
        guard try engine.isIntact(bridges: surroundings.engineBridges) else { return false }
        let body = Self.body(surroundings)
        if let applied = applied.withLock({ $0 }) { return applied.body == body && applied.printed == Self.words(listing) }
        return Self.words(listing) == Self.words("table inet weft {\n\(body)}\n")
    }

    func remove() throws {
        try firewall.remove()
        try engine.remove()
    }

    /// Where `nft` breaks a line of many elements is its own affair.
    private static func words(_ text: String) -> String { text.split(whereSeparator: \.isWhitespace).joined(separator: " ") }

    /// Written as nft 1.0 prints it, so that a new process recognizes the table of the former.
    static func body(_ surroundings: Surroundings) -> String {
        let host = surroundings.host
        return set("nodes", of: "ipv4_addr", surroundings.host.vteps.sorted().map(\.description))
            + set("lans", of: "ifname", surroundings.lanBridges.map { "\"\($0)\"" })
            + tunnel(host, underlay: surroundings.underlay) + (host.encrypts ? encrypted(host) : "") + sandboxes
    }

    private static func set(_ name: String, of type: String, _ elements: [String]) -> String {
        "\tset \(name) {\n\t\ttype \(type)\n"
            + (elements.isEmpty ? "" : "\t\telements = { \(elements.joined(separator: ", ")) }\n") + "\t}\n\n"
    }

    /// What is encrypted comes to a socket, which others are not to keep busy. What it says of itself is believed by its key alone.
    private static func encrypted(_ host: HostConfiguration) -> String {
        """
        \tchain input_tunnel {
        \t\ttype filter hook input priority filter; policy accept;
        \t\tip saddr != @nodes ip daddr \(host.dataPathAddress) udp dport \(Constants.encryptedPort) drop
        \t}


        """
    }

    /// Nobody but Weft sends to the data path's ports of a node, in Weft's name least of all. What a container or another process sends
    /// would arrive with this host's address, by which a node is known; Weft's own packets pass neither hook, being sent by a program, or
    /// are root's, where they are encrypted.
    /// Other hosts' tunnels with the same port are none of its business: a host may route for machines that have their own.
    ///
    /// The first chain: a source address that is not reached where the packet came from is forged. Which of the host's own machines and
    /// containers it comes from is told by the interface; the underlay, where peers are heard, may be any kind.
    private static func tunnel(_ host: HostConfiguration, underlay: String?) -> String {
        let ports = host.encrypts ? [host.dataPathPort, Constants.encryptedPort].sorted() : [host.dataPathPort]
        let port = ports.count == 1 ? "\(ports[0])" : "{ \(ports.map(String.init).joined(separator: ", ")) }"
        // `nft` takes no empty name.
        let elsewhere = underlay.map { "iifname != \"\($0)\" " } ?? ""
        let forged = ["bridge", "tun", "veth"].map {
            "\t\t\(elsewhere)meta iifkind \"\($0)\" ip daddr @nodes udp dport \(port) fib saddr . iif oif missing drop\n"
        }
        return """
            \tchain prerouting {
            \t\ttype filter hook prerouting priority mangle; policy accept;
            \(forged.joined())\t}

            \tchain output {
            \t\ttype filter hook output priority filter; policy accept;
            \t\tip daddr @nodes udp dport \(port) meta skuid != 0 drop
            \t}

            \tchain forward_tunnel {
            \t\ttype filter hook forward priority filter; policy accept;
            \t\tip saddr != @nodes ip daddr @nodes udp dport \(port) drop
            \t}


            """
    }

    /// What an operator's or an engine's rule for a published port sends in is let in, and its answers out. From a sandbox to a bridge
    /// of containers goes only what a published port translates, as from another host; a bridge with a network card in it, or that the
    /// default route leads by, is a LAN.
    /// An ICMP error is believed by who gets it for what it quotes, so none comes from a sandbox; nor what would leave untranslated.
    private static let sandboxes = """
        \tchain forward {
        \t\ttype filter hook forward priority filter; policy accept;
        \t\tiifname "wv*" oifname "wv*" drop
        \t\toifname "wv*" ct state established,related accept
        \t\toifname "wv*" ct status dnat accept
        \t\toifname "wv*" drop
        \t\tiifname "wv*" ct state invalid drop
        \t\tiifname "wv*" icmp type != { echo-reply, echo-request } drop
        \t\tiifname "wv*" ct status dnat accept
        \t\tiifname "wv*" meta oifkind "bridge" oifname != @lans drop
        \t\tiifname "wv*" accept
        \t}

        \tchain postrouting {
        \t\ttype nat hook postrouting priority srcnat; policy accept;
        \t\tiifname "wv*" oifname != "wv*" masquerade
        \t}

        \tchain input {
        \t\ttype filter hook input priority filter; policy accept;
        \t\tiifname "wv*" ip daddr \(Constants.resolver) udp dport 53 accept
        \t\tiifname "wv*" ip daddr \(Constants.resolver) tcp dport 53 accept
        \t\tiifname "wv*" ip daddr \(Constants.resolver) icmp type echo-request accept
        \t\tiifname "wv*" ct state established ct status dnat accept
        \t\tiifname "wv*" drop
        \t\tmeta iifkind "bridge" ip daddr \(Constants.resolver) reject with icmp port-unreachable
        \t\tiifname != "lo" ip daddr \(Constants.resolver) drop
        \t}

        """
}

/// What the firewall must know of the swarm and of the host's other interfaces.
struct Surroundings: Hashable, Sendable {
    let host: HostConfiguration
    /// Name of the interface that leads to the other nodes; nil if none has the data-path address.
    let underlay: String?
    /// Bridges with something in them, or behind them, that is not a container: sorted names.
    let lanBridges: [String]
    /// All other bridges.
    let engineBridges: [String]

    init(host: HostConfiguration, links: [LinkMessage], addresses: [AddressMessage], routes: [RouteMessage]) {
        self.host = host
        let underlayIndex = addresses.first { $0.address == host.dataPathAddress }?.interface
        // Other routes may lead by a container, a VPN's for one, and its bridge is no LAN for that.
        let waysOut = Set(routes.filter(\.isDefault).compactMap(\.interface))
        // Containers and virtual machines are behind these kinds; a card has none.
        let guests: Set<String?> = ["veth", "tun", "dummy", "vxlan", "ifb"]
        let lans = Set(links.filter { !guests.contains($0.kind) }.compactMap(\.masterIndex))
        func isLAN(_ link: LinkMessage) -> Bool {
            link.index == underlayIndex || waysOut.contains(link.index) || lans.contains(link.index)
        }
        underlay = links.first { $0.index == underlayIndex }?.name
        let bridges = links.filter { $0.kind == "bridge" }
        lanBridges = bridges.filter(isLAN).map(\.name).sorted()
        engineBridges = bridges.filter { !isLAN($0) }.map(\.name).sorted()
    }
}

extension RouteMessage {
    /// A default route of the host itself, not of some policy's table.
    fileprivate var isDefault: Bool { destination.length == 0 && table == Self.mainTable }
}
