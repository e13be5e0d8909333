import FoundationEssentials
import WeftJSON
import WeftLinux
import WeftNet
import WeftPlugin

/// How this node takes part in its swarm; the identity itself lies beside it.
struct Membership: Codable, Sendable {
    var isManager: Bool
    /// Where a manager listens; 0.0.0.0 for every address.
    var listenAddress: IPv4Address
    var listenPort: UInt16
    var advertiseAddress: IPv4Address
    var advertisePort: UInt16
    var dataPathAddress: IPv4Address
    /// `address:port` of the managers known at the join; later ones come with the assignments.
    var managers: [String]
}

/// The state directory.
struct StateFiles: Sendable {
    let directory: String

    private var membershipPath: String { "\(directory)/membership.json" }
    private var pluginPath: String { "\(directory)/plugin.json" }

    func loadMembership() throws -> Membership? { try read(membershipPath) }
    func save(_ membership: Membership) throws { try write(membership, to: membershipPath) }

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
    var description: String {
        "\(path) cannot be read (\(reason)); restore it from a backup, or move it away and join the swarm again"
    }
}

extension StateFiles: PluginStore {
    func loadPlugin() throws -> PluginState { try read(pluginPath) ?? PluginState() }
    func savePlugin(_ state: PluginState) throws { try write(state, to: pluginPath) }
}
