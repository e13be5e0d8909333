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
    private let kinds: Kinds

    private var path: String { "\(directory)/node.db" }

    package init(directory: String, kinds: Kinds = .all) throws {
        self.directory = directory
        self.kinds = kinds
        rows = try RowFile(path: "\(directory)/node.db")
    }

    package func close() throws { try rows.close() }

    /// Opens and reads the file of a state directory. One whose content is of no use is set aside, as what it held can be had again:
    /// from the kernel, from the engine and from a manager. `damage` is told why.
    package static func open(
        directory: String, kinds: Kinds = .all, damage: (String) -> Void
    ) throws -> (file: NodeFile, node: SavedNode, interfaceIndexes: [EndpointID: Int]) {
        do { return try opened(directory, kinds) } catch {
            let path = "\(directory)/node.db"
            guard error is Unreadable || RowFile.isDamage(error) || FileSystem.isDirectory(path) else { throw error }
            damage("\(path) cannot be used and is set aside as \(path).unreadable: \(error)")
            for suffix in ["", "-wal", "-shm"] { try FileSystem.setAside(path + suffix) }
            return try opened(directory, kinds)
        }
    }

    private static func opened(
        _ directory: String, _ kinds: Kinds
    ) throws -> (file: NodeFile, node: SavedNode, interfaceIndexes: [EndpointID: Int]) {
        let file = try NodeFile(directory: directory, kinds: kinds)
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
        /// How far what the manager said goes; each of its kinds has rows of its own.
        case knowledge
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
        /// In a row of its own since there are `kinds`.
        var cluster: ClusterView?
        /// Names of the kinds that are in the file.
        var kinds: [String]?

        /// Of a file that does not tell.
        static let formerKinds = ["cluster", "endpoint", "lease", "network", "peer"]
    }

    private func read<Value: Decodable>(_ kind: Kind, _ type: Value.Type) throws -> [Value] {
        try read(kind.rawValue, type)
    }

    private func read<Value: Decodable>(_ kind: String, _ type: Value.Type) throws -> [Value] {
        let bodies = try rows.bodies(kind)
        do {
            return try bodies.map { try JSONText.decode(type, from: $0) }
        } catch {
            throw Unreadable(path: path, reason: "\(error)")
        }
    }
}

extension RowFile.Change {
    fileprivate mutating func put(_ kind: NodeFile.Kind, _ id: String, _ value: some Encodable) throws {
        try put(kind.rawValue, id, value)
    }

    private mutating func put(_ kind: String, _ id: String, _ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        put(kind, id, [UInt8](try encoder.encode(value)))
    }

    fileprivate mutating func remove(_ kind: NodeFile.Kind, _ id: String) { remove(kind.rawValue, id) }
    fileprivate mutating func clear(_ kinds: NodeFile.Kind...) { for kind in kinds { clear(kind.rawValue) } }

    /// Writes what a manager said of one kind.
    fileprivate mutating func note(_ delta: some ErasedDelta) throws { try note(delta.typed) }

    private mutating func note<Value: AssignedValue>(_ delta: Delta<Value>) throws {
        guard let rows = Value.rows else { return }
        for value in delta.put { try put(rows, value.id.text, value) }
        for id in delta.removed { remove(rows, id.text) }
    }
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
        if let row = try read(.knowledge, KnowledgeRow.self).first { try loadView(row, into: &saved) }
        return (saved, indexes)
    }

    /// Rows of a kind that whoever wrote last did not know are of some other time, and left out.
    private func loadView(_ row: KnowledgeRow, into saved: inout SavedNode) throws {
        saved.view.revision = row.revision
        let known = Set(row.kinds ?? KnowledgeRow.formerKinds)
        for type in kinds.assigned {
            if known.contains(type.kind.name) { try load(type, into: &saved.view) } else { saved.lacksKinds = true }
        }
        if let cluster = row.cluster {
            saved.view.cluster = cluster
            saved.isOfFormerForm = true
        }
    }

    private func load<Value: AssignedValue>(_ type: Value.Type, into view: inout Assignments) throws {
        if let rows = Value.rows { view[Value.self].put = try read(rows, type) }
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
        if change.isFull {
            writes.clear(.knowledge)
            for rows in kinds.assigned.compactMap({ $0.rows }) { writes.clear(rows) }
        }
        for delta in change.deltas { try writes.note(delta) }
        let names = kinds.assigned.map { $0.kind.name }.sorted()
        try writes.put(.knowledge, "", KnowledgeRow(revision: change.revision, kinds: names))
        // The manager says it again to a host that was cut off.
        try write(writes, survives: .process)
    }

    private func write(_ change: RowFile.Change, survives: Survival = .host) throws {
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
