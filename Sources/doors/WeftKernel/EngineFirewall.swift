internal import WeftLinux

/// Docker sets the policy of the forwarding hook to drop, which an acceptance in another table does not undo.
/// Its chain DOCKER-USER is the place for exceptions, and Docker leaves it alone; where there is none, nothing is needed.
///
/// What sandboxes send goes from there through a chain of Weft's own: out to the world it is accepted, and what a published port
/// translates too. All else for a bridge of the engine's is left to the engine's rules, which keep its networks apart.
struct EngineFirewall: Sendable {
    static let chain = "WEFT-FORWARD"

    let namespace: NetworkNamespace

    private static let rules = [
        ["-i", "wv+", "-j", chain],
        ["-o", "wv+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
        ["-o", "wv+", "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT"],
    ]
    /// Removed wherever it stands: such a rule lets sandboxes past the engine's rules, into its networks.
    private static let formerRules = [["-i", "wv+", "-j", "ACCEPT"]]

    /// True if the rules are there and as they should be, or not needed.
    func isIntact(bridges: [String]) throws -> Bool {
        guard let listing = try userRules() else { return true }
        return try Self.missing(in: listing).isEmpty && Self.formers(in: listing).isEmpty
            && iptables(["-S", Self.chain])?.output == Self.listing(bridges: bridges)
    }

    /// - Parameter bridges: those that lead to containers and nowhere else.
    func apply(bridges: [String]) throws {
        guard let listing = try userRules() else { return }
        // One transaction; a chain that is there is filled anew.
        let lines = Self.chainRules(bridges: bridges).map { "-A \(Self.chain) \($0.joined(separator: " "))\n" }.joined()
        let script = "*filter\n:\(Self.chain) - [0:0]\n\(lines)COMMIT\n"
        try check(run("iptables-restore", ["-w", "--noflush"], input: script))
        for rule in Self.missing(in: listing) { try check(iptables(["-I", "DOCKER-USER"] + rule)) }
        for rule in Self.formers(in: listing) { try check(iptables(["-D", "DOCKER-USER"] + rule)) }
    }

    func remove() throws {
        for rule in Self.rules + Self.formerRules { _ = try iptables(["-D", "DOCKER-USER"] + rule) }
        for command in ["-F", "-X"] { _ = try iptables([command, Self.chain]) }
    }

    private static func chainRules(bridges: [String]) -> [[String]] {
        [["-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT"]] + bridges.map { ["-o", $0, "-j", "RETURN"] }
            + [["-j", "ACCEPT"]]
    }

    /// As `iptables -S` prints the chain.
    private static func listing(bridges: [String]) -> String {
        "-N \(chain)\n" + chainRules(bridges: bridges).map { "-A \(chain) \($0.joined(separator: " "))\n" }.joined()
    }

    /// The rules of DOCKER-USER; nil where there is no such chain.
    private func userRules() throws -> String? {
        guard let listing = try iptables(["-S", "DOCKER-USER"]), listing.status == 0 else { return nil }
        return listing.output
    }

    private static func missing(in listing: String) -> [[String]] { rules.filter { !contains(listing, $0) } }

    private static func formers(in listing: String) -> [[String]] { formerRules.filter { contains(listing, $0) } }

    private static func contains(_ listing: String, _ rule: [String]) -> Bool {
        listing.contains("-A DOCKER-USER \(rule.joined(separator: " "))\n")
    }

    private func check(_ outcome: ChildProcess.Outcome?) throws {
        guard outcome?.status == 0 else {
            throw KernelDatapathError(
                "Could not set Weft's rules in the chain DOCKER-USER, without which Docker's firewall drops what sandboxes send: "
                    + (outcome?.errorOutput ?? "iptables is gone."))
        }
    }

    private func iptables(_ arguments: [String]) throws -> ChildProcess.Outcome? {
        try run("iptables", ["-w"] + arguments)
    }

    /// Nil if there is no such program.
    private func run(_ program: String, _ arguments: [String], input: String = "") throws -> ChildProcess.Outcome? {
        do {
            return try namespace.run { try ChildProcess.run([program] + arguments, input: input) }
        } catch let error as SystemError {
            guard error.isNotFound else { throw error }
            return nil
        }
    }
}
