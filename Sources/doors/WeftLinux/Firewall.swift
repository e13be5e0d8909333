/// One nftables table, declared whole and replaced atomically by the `nft` program.
package struct Firewall: Sendable {
    /// `inet weft`.
    package let table: String
    package let namespace: NetworkNamespace

    package init(table: String, in namespace: NetworkNamespace = .current) {
        self.table = table
        self.namespace = namespace
    }

    /// Replaces the table by `body`, the text between its braces, in one transaction.
    package func apply(_ body: String) throws {
        // Declaring it first makes the deletion valid when it does not exist.
        try nft("table \(table) {}\ndelete table \(table)\ntable \(table) {\n\(body)}\n", "set up the firewall table \(table)")
    }

    /// The table as `nft` prints it, without counters; nil if there is none.
    package func listing() throws -> String? {
        let table = table
        let outcome = try namespace.run {
            try ChildProcess.run(["nft", "--stateless", "list", "table"] + table.split(separator: " ").map(String.init))
        }
        if outcome.status == 0 { return outcome.output }
        guard outcome.errorOutput.contains("No such file or directory") else {
            throw SystemError("list the firewall table \(table)", code: 0, detail: outcome.errorOutput)
        }
        return nil
    }

    /// Removes the table; it may be gone.
    package func remove() throws {
        try nft("table \(table) {}\ndelete table \(table)\n", "remove the firewall table \(table)")
    }

    private func nft(_ script: String, _ operation: String) throws {
        let outcome = try namespace.run { try ChildProcess.run(["nft", "-f", "-"], input: script) }
        guard outcome.status == 0 else { throw SystemError(operation, code: 0, detail: outcome.errorOutput) }
    }
}
