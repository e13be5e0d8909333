internal import Synchronization
internal import WeftLinux

/// The nftables table `inet weft`. Wildcards on interface names keep it the same whatever endpoints there are.
final class FirewallTable: Sendable {
    private let firewall: Firewall
    /// How `nft` of this host prints the table, once it has been set here.
    private let printed = Mutex<String?>(nil)

    private let engine: EngineFirewall

    init(in namespace: NetworkNamespace) {
        firewall = Firewall(table: "inet weft", in: namespace)
        engine = EngineFirewall(namespace: namespace)
    }

    func apply() throws {
        try firewall.apply(Self.body)
        let listing = try firewall.listing()
        printed.withLock { $0 = listing }
        try engine.apply()
    }

    /// True if the table is there, complete and unchanged.
    func isIntact() throws -> Bool {
        guard let listing = try firewall.listing() else { return false }
        guard try engine.isIntact() else { return false }
        return listing == printed.withLock { $0 } ?? "table inet weft {\n\(Self.body)}\n"
    }

    func remove() throws {
        try firewall.remove()
        try engine.remove()
    }

    /// What an operator's or an engine's rule for a published port sends in is let in, and its answers out.
    /// Written as nft 1.0 prints it, so that a new process recognizes the table of the former.
    static let body = """
        \tchain forward {
        \t\ttype filter hook forward priority filter; policy accept;
        \t\tiifname "wv*" oifname "wv*" drop
        \t\toifname "wv*" ct state established,related accept
        \t\toifname "wv*" ct status dnat accept
        \t\toifname "wv*" drop
        \t\tiifname "wv*" accept
        \t}

        \tchain postrouting {
        \t\ttype nat hook postrouting priority srcnat; policy accept;
        \t\tiifname "wv*" oifname != "wv*" masquerade
        \t}

        \tchain input {
        \t\ttype filter hook input priority filter; policy accept;
        \t\tiifname "wv*" ip daddr 169.254.77.53 udp dport 53 accept
        \t\tiifname "wv*" ip daddr 169.254.77.53 tcp dport 53 accept
        \t\tiifname "wv*" ip daddr 169.254.77.53 ip protocol icmp accept
        \t\tiifname "wv*" ct state established,related ct status dnat accept
        \t\tiifname "wv*" drop
        \t\tmeta iifkind "bridge" ip daddr 169.254.77.53 reject with icmp port-unreachable
        \t\tiifname != "lo" ip daddr 169.254.77.53 drop
        \t}

        """
}
