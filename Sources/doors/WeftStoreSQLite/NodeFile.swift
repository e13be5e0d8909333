internal import FoundationEssentials
internal import WeftAgentCore
internal import WeftJSON
internal import WeftLinux
package import WeftModel
internal import WeftNet
package import WeftNode

/// What the agent must know after a restart, one row an object, so that an attach writes its endpoint and no other.
package final class NodeFile: Sendable {
    private let rows: RowFile
    private let directory: String

    private var path: String { "\(directory)/node.db" }

    package init(directory: String) throws {
        self.directory = directory
        rows = try RowFile(path: "\(directory)/node.db")
    }

    package func close() throws { try rows.close() }

    /// Opens and reads the file of a state directory. One whose content is of no use is set aside, as what it held can be had again:
    /// from the kernel, from the engine and from a manager. `damage` is told why.
    package static func open(
        directory: String, damage: (String) -> Void
    ) throws -> (file: NodeFile, node: SavedNode, interfaceIndexes: [EndpointID: Int]) {
        do { return try opened(directory) } catch {
            let path = "\(directory)/node.db"
            guard error is Unreadable || RowFile.isDamage(error) || FileSystem.isDirectory(path) else { throw error }
            damage("\(path) cannot be used and is set aside as \(path).unreadable: \(error)")
            for suffix in ["", "-wal", "-shm"] { try FileSystem.setAside(path + suffix) }
            return try opened(directory)
        }
    }

    private static func opened(
        _ directory: String
    ) throws -> (file: NodeFile, node: SavedNode, interfaceIndexes: [EndpointID: Int]) {
        let file = try NodeFile(directory: directory)
        do {
            let (node, indexes) = try file.load()
            return (file, node, indexes)
        } catch {
            try? file.close()
            throw error
        }
    }

    /// What rows hold. Names go into the file.
    fileprivate enum Kind: String {
        case endpoint, place, node
        /// What the manager said.
        case knowledge, network, peer, known
    }

    private struct EndpointRow: Codable {
        var endpoint: Endpoint
        var engineSince: Instant?
        /// N of ethN.
        var interface: Int?
    }

    /// Reserved or resting.
    private struct PlaceRow: Codable {
        var reservation: SavedNode.Reservation?
        var rest: SavedNode.Resting?
    }

    private struct NodeRow: Codable {
        var leases: [AddressLease]
        var returned: [String]
        var isLeaving: Bool
    }

    private struct KnowledgeRow: Codable {
        var revision: Version
        var cluster: ClusterView?
    }

    private func read<Value: Decodable>(_ kind: Kind, _ type: Value.Type) throws -> [Value] {
        let bodies = try rows.bodies(kind.rawValue)
        do {
            return try bodies.map { try JSONText.decode(type, from: $0) }
        } catch {
            throw Unreadable(path: path, reason: "\(error)")
        }
    }
}

extension RowFile.Change {
    fileprivate mutating func put(_ kind: NodeFile.Kind, _ id: String, _ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        put(kind.rawValue, id, [UInt8](try encoder.encode(value)))
    }

    fileprivate mutating func remove(_ kind: NodeFile.Kind, _ id: String) { remove(kind.rawValue, id) }
    fileprivate mutating func clear(_ kinds: NodeFile.Kind...) { for kind in kinds { clear(kind.rawValue) } }
}

extension NodeFile: AgentStore {
    package func load() throws -> (node: SavedNode, interfaceIndexes: [EndpointID: Int]) {
        try takeOverFormerFiles()
        var saved = SavedNode()
        var indexes: [EndpointID: Int] = [:]
        for row in try read(.endpoint, EndpointRow.self) {
            saved.own.endpoints.append(row.endpoint)
            if let since = row.engineSince { saved.own.engine.append(.init(id: row.endpoint.id, since: since)) }
            if let index = row.interface { indexes[row.endpoint.id] = index }
        }
        for row in try read(.place, PlaceRow.self) {
            if let reservation = row.reservation { saved.own.reservations.append(reservation) }
            if let rest = row.rest { saved.own.resting.append(rest) }
        }
        if let row = try read(.node, NodeRow.self).first {
            saved.own.leases = row.leases
            saved.own.returned = row.returned
            saved.own.isLeaving = row.isLeaving
        }
        if let row = try read(.knowledge, KnowledgeRow.self).first {
            saved.view.revision = row.revision
            saved.view.cluster = row.cluster
        }
        saved.view.networks = try read(.network, Network.self)
        saved.view.peers = try read(.peer, Peer.self)
        saved.view.endpoints = try read(.known, Endpoint.self)
        return (saved, indexes)
    }

    package func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws {
        var writes = RowFile.Change()
        if change.isFull { writes.clear(.endpoint, .place) }
        let engine = Dictionary(change.own.engine.map { ($0.id, $0.since) }, uniquingKeysWith: { first, _ in first })
        for endpoint in change.own.endpoints {
            let row = EndpointRow(
                endpoint: endpoint, engineSince: engine[endpoint.id], interface: interfaceIndexes[endpoint.id])
            try writes.put(.endpoint, endpoint.id.rawValue, row)
        }
        for id in change.removedEndpoints { writes.remove(.endpoint, id.rawValue) }
        for reservation in change.own.reservations {
            try writes.put(.place, reservation.place.rowID, PlaceRow(reservation: reservation))
        }
        for rest in change.own.resting { try writes.put(.place, rest.place.rowID, PlaceRow(rest: rest)) }
        for place in change.removedPlaces { writes.remove(.place, place.rowID) }
        if change.changesNode {
            let own = change.own
            try writes.put(
                .node, "", NodeRow(leases: own.leases, returned: own.returned, isLeaving: own.isLeaving))
        }
        try write(writes)
    }

    package func saveView(_ change: Assignments) throws {
        var writes = RowFile.Change()
        if change.isFull { writes.clear(.knowledge, .network, .peer, .known) }
        for network in change.networks { try writes.put(.network, network.id.rawValue, network) }
        for id in change.removedNetworks { writes.remove(.network, id.rawValue) }
        for peer in change.peers { try writes.put(.peer, peer.id.rawValue, peer) }
        for id in change.removedPeers { writes.remove(.peer, id.rawValue) }
        for endpoint in change.endpoints { try writes.put(.known, endpoint.id.rawValue, endpoint) }
        for id in change.removedEndpoints { writes.remove(.known, id.rawValue) }
        try writes.put(.knowledge, "", KnowledgeRow(revision: change.revision, cluster: change.cluster))
        // The manager says it again to a host that was cut off.
        try write(writes, survives: .process)
    }

    private func write(_ change: RowFile.Change, survives: RowFile.Survival = .host) throws {
        do { try rows.write(change, survives: survives) } catch { throw Unwritable(path: path, reason: "\(error)") }
    }
}

extension NodeFile {
    package struct Unreadable: Error, CustomStringConvertible {
        let path: String
        let reason: String
        package var description: String { "\(path) cannot be read (\(reason))" }
    }

    package struct Unwritable: Error, CustomStringConvertible {
        let path: String
        let reason: String
        package var description: String { "\(path) cannot be written (\(reason)); make room on its file system" }
    }
}

extension Place {
    fileprivate var rowID: String { "\(network)/\(address)" }
}

// MARK: The first version's files

extension NodeFile {
    private struct FormerOwn: Codable {
        var own: SavedNode.Own
        var interfaces: [String: Int]
    }

    private struct FormerView: Codable {
        var revision: Version
        var cluster: ClusterView?
        var networks: [Network]
        var peers: [Peer]
        var endpoints: [Endpoint]

        var assignments: Assignments {
            var all = Assignments(isFull: true, baseRevision: .none, revision: revision)
            all.cluster = cluster
            all.networks = networks
            all.peers = peers
            all.endpoints = endpoints
            return all
        }
    }

    /// Before there were rows, two files held everything: what they hold goes into the rows, and they go.
    private func takeOverFormerFiles() throws {
        let files = (own: "\(directory)/endpoints.json", view: "\(directory)/assignments.json")
        guard FileSystem.exists(files.own) else { return }
        do {
            let former = try JSONText.decode(FormerOwn.self, from: try FileSystem.read(files.own))
            let indexes = former.interfaces.map { (EndpointID($0.key), $0.value) }
            try saveOwn(
                SavedNode.OwnChange(full: former.own),
                interfaceIndexes: Dictionary(indexes, uniquingKeysWith: { first, _ in first }))
            if FileSystem.exists(files.view) {
                try saveView(try JSONText.decode(FormerView.self, from: try FileSystem.read(files.view)).assignments)
            }
        } catch {
            throw Unreadable(path: files.own, reason: "\(error)")
        }
        try FileSystem.removeTree(files.view)
        try FileSystem.removeTree(files.own)
    }
}
