import FoundationEssentials
import WeftJSON
import WeftLinux
import WeftModel
import WeftNet
import WeftPlugin

/// How this node takes part in its swarm; the identity itself lies beside it.
struct SavedMembership: Codable, Sendable {
    var isManager: Bool
    /// Where a manager listens; 0.0.0.0 for every address.
    var listenAddress: IPv4Address
    var listenPort: UInt16
    var advertiseAddress: IPv4Address
    var advertisePort: UInt16
    var dataPathAddress: IPv4Address
    /// This node's id, which its certificate names too; not in what the first version wrote.
    var node: NodeID?
    /// `address:port` of the managers known at the join; later ones come with the assignments.
    var managers: [String]
}

/// The state directory.
struct StateFiles: Sendable {
    let directory: String

    private var membershipPath: String { "\(directory)/membership.json" }
    private var pluginPath: String { "\(directory)/plugin.json" }

    func loadMembership() throws -> SavedMembership? { try read(membershipPath) }
    func save(_ membership: SavedMembership) throws { try write(membership, to: membershipPath) }

    /// Throws when the directory's file system has no room for what a member keeps.
    func checkRoom() throws {
        let path = "\(directory)/room"
        defer { try? FileSystem.removeTree(path) }
        try FileSystem.writeAtomically([UInt8](repeating: 0xa5, count: 512 << 10), to: path)
    }

    /// Forgets the swarm: identity, store, everything but the records of the engine's containers, which are there still.
    func wipe() throws {
        for name in try FileSystem.list(directory) where name != ContainerFiles.folder {
            try FileSystem.removeTree("\(directory)/\(name)")
        }
    }

    private func read<Value: Decodable>(_ path: String) throws -> Value? {
        guard FileSystem.exists(path) else { return nil }
        do {
            return try JSONText.decode(Value.self, from: try FileSystem.read(path))
        } catch {
            throw UnreadableState(path: path, reason: "\(error)")
        }
    }

    private func write(_ value: some Encodable, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try FileSystem.writeAtomically([UInt8](try encoder.encode(value)), to: path)
    }
}

struct UnreadableState: Error, CustomStringConvertible {
    let path: String
    let reason: String
    var description: String { "\(path) cannot be read (\(reason))" }
}

/// What stands in the way of a node that is a member of a swarm, with the way out.
struct CannotTakePart: Error, CustomStringConvertible {
    let reason: String
    init(_ error: any Error) { reason = "\(error)" }

    var description: String {
        "this node cannot take part in its swarm: \(reason). What is attached goes on as it is. It tries again every few seconds: put "
            + "right what is wrong, restore the file from a backup, or give the swarm up with `weft swarm leave --force` and join again"
    }
}

extension StateFiles: PluginStore {
    /// What cannot be read is set aside. Containers that run go on; the engine's networks are strangers to this node until the engine
    /// makes them anew: the start of a container on one of them is refused, and told that it is to be removed.
    func loadPlugin() throws -> PluginState {
        do { return try read(pluginPath) ?? PluginState() } catch is UnreadableState {
            try FileSystem.setAside(pluginPath)
            return PluginState()
        }
    }
    func savePlugin(_ state: PluginState) throws { try write(state, to: pluginPath) }
}
