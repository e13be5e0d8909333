internal import WeftFiles
internal import WeftLinux

/// The directory that holds what a node must know after a restart: its membership here, the rest in files of others.
package struct StateDirectory: Sendable {
    package let path: String
    private let membership: RecordFile<SavedMembership>

    package init(_ path: String) {
        self.path = path
        membership = RecordFile("\(path)/membership.json")
    }

    /// Nil when this node is in no swarm; throws `UnreadableRecord`.
    package func loadMembership() throws -> SavedMembership? { try membership.load() }
    package func save(_ saved: SavedMembership) throws { try membership.save(saved) }

    /// Throws when the directory's file system has no room for what a member keeps.
    package func checkRoom() throws {
        let room = "\(path)/room"
        defer { try? FileSystem.removeTree(room) }
        try FileSystem.writeAtomically([UInt8](repeating: 0xa5, count: 512 << 10), to: room)
    }

    /// Forgets the swarm: identity, store, everything but the folders in `kept`.
    package func wipe(keeping kept: Set<String>) throws {
        for name in try FileSystem.list(path) where !kept.contains(name) {
            try FileSystem.removeTree("\(path)/\(name)")
        }
    }
}
