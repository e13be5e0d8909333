// The protocol of what keeps the swarm's objects, and its errors. A store checks versions and orders commits; what an object means is
// none of its affair. Implementations are targets of their own.
package import WeftModel

/// Keeps the swarm's objects: read a snapshot, commit a transaction guarded by versions, watch from a revision.
///
/// Commits are totally ordered; each that changes anything makes the next revision. A snapshot at revision r and the
/// watch from r together give every object without a gap. A reader of a watch is served at its own pace.
package protocol Store: Sendable {
    /// Everything at the newest revision.
    func snapshot() async throws -> StoreSnapshot

    /// Carries out the transaction as a whole, and returns once it is durable. Every object put gets the new revision
    /// as its version. An empty transaction changes nothing and returns the newest revision.
    ///
    /// Throws `StoreError.outdated` or `.conflict` when a guard does not hold. Whatever it throws, nothing was changed and
    /// nothing will be: a store that does not know what became of a transaction asks until it knows.
    @discardableResult
    func commit(_ transaction: Transaction) async throws -> Version

    /// Commits after `revision`, in order, without end.
    ///
    /// The sequence throws `StoreError.compacted` or `.unknownRevision` when the commits after `revision` are not
    /// to be had: take a snapshot and watch from there.
    func watch(from revision: Version) -> any AsyncSequence<StoreCommit, any Error> & Sendable
}
