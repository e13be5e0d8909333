internal import WeftLinux

/// Docker sets the policy of the forwarding hook to drop, which an acceptance in another table does not undo.
/// Its chain DOCKER-USER is the place for exceptions, and Docker leaves it alone; where there is none, nothing is needed.
struct EngineFirewall: Sendable {
    let namespace: NetworkNamespace

    private static let rules = [
        ["-i", "wv+", "-j", "ACCEPT"],
        ["-o", "wv+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
        ["-o", "wv+", "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT"],
    ]

    /// True if the rules are there, or not needed.
    func isIntact() throws -> Bool { try missing().isEmpty }

    func apply() throws {
        for rule in try missing() {
            let outcome = try iptables(["-I", "DOCKER-USER"] + rule)
            guard outcome?.status == 0 else {
                throw KernelDatapathError(
                    "Could not add a rule to the chain DOCKER-USER, without which Docker's firewall drops what sandboxes send: "
                        + (outcome?.errorOutput ?? "iptables is gone."))
            }
        }
    }

    func remove() throws {
        for rule in Self.rules { _ = try iptables(["-D", "DOCKER-USER"] + rule) }
    }

    private func missing() throws -> [[String]] {
        guard let listing = try iptables(["-S", "DOCKER-USER"]), listing.status == 0 else { return [] }
        return Self.rules.filter { !listing.output.contains("-A DOCKER-USER \($0.joined(separator: " "))\n") }
    }

    /// Nil if there is no such program.
    private func iptables(_ arguments: [String]) throws -> ChildProcess.Outcome? {
        do {
            return try namespace.run { try ChildProcess.run(["iptables", "-w"] + arguments) }
        } catch let error as SystemError {
            guard error.isNotFound else { throw error }
            return nil
        }
    }
}
