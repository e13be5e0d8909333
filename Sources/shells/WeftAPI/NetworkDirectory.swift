import WeftEngine
import WeftModel

/// The networks that a user of this host may mean: the swarm's, and the engine's own. One rule, for all requests that name one.
struct NetworkDirectory: Sendable {
    enum Meaning: Hashable, Sendable {
        case swarm(Network)
        /// The engine's id and name of one of its own.
        case engine(id: String, name: String)

        var isSwarm: Bool { if case .swarm = self { true } else { false } }
    }

    let swarm: [Network]
    private let engine: [(id: String, name: String)]
    /// The swarm's ids by the engine's, of what stands for the swarm's networks in the engine. Never meant by name or by the beginning of
    /// an id, which no user has seen.
    private let shadows: [String: String]

    init(swarm: [Network], engine: [EngineNetwork] = []) {
        self.swarm = swarm
        self.engine = engine.filter { $0.shadowOf == nil }.map { ($0.Id, $0.Name) }
        shadows = Dictionary(engine.compactMap { network in network.shadowOf.map { (network.Id, $0) } }) { first, _ in first }
    }

    /// What is meant: the network of that name, of whichever kind; else the one of that id; else the only one whose id begins so.
    /// Nil when there is none.
    func meaning(of text: String) throws(APIError) -> Meaning? {
        let named = swarm { $0.spec.name == text } + engine { $0.name == text }
        if named.count > 1, named.contains(where: \.isSwarm), named.contains(where: { !$0.isSwarm }) {
            throw .nameTwice(text, matches: named.count)
        }
        if let only = try only(named, text, "name") { return only }
        let id = shadows[text] ?? text
        if let found = (swarm { $0.id.rawValue == id } + engine { $0.id == id }).first { return found }
        return try only(beginning(with: text), text, "ID prefix")
    }

    /// All that a filter may mean, which takes beginnings of ids and never is ambiguous.
    func matches(_ text: String) -> [Meaning] {
        let named = swarm { $0.spec.name == text } + engine { $0.name == text }
        return named + beginning(with: text).filter { !named.contains($0) }
    }

    /// The network of the swarm that is meant.
    func network(_ text: String) throws(APIError) -> Network {
        switch try meaning(of: text) {
        case .swarm(let network)?: return network
        case .engine(_, let name)?:
            throw .badRequest(
                "network \(text) is the container engine's\(name == text ? "" : " network \(name)"), which only its containers can be on: "
                    + "name one of the swarm's")
        case nil: throw .networkNotFound(text)
        }
    }

    private func only(_ found: [Meaning], _ text: String, _ by: String) throws(APIError) -> Meaning? {
        guard found.count < 2 else {
            throw .badRequest("network \(text) is ambiguous (\(found.count) matches found on \(by))")
        }
        return found.first
    }

    private func beginning(with text: String) -> [Meaning] {
        text.isEmpty ? [] : swarm { $0.id.rawValue.hasPrefix(text) } + engine { $0.id.hasPrefix(text) }
    }

    private func swarm(_ isMeant: (Network) -> Bool) -> [Meaning] { swarm.filter(isMeant).map(Meaning.swarm) }
    private func engine(_ isMeant: ((id: String, name: String)) -> Bool) -> [Meaning] {
        engine.filter(isMeant).map { .engine(id: $0.id, name: $0.name) }
    }
}

extension Router {
    /// The swarm's networks and, where it makes a difference to what these texts mean, the engine's.
    ///
    /// - Parameter onlySwarm: what is named cannot be the engine's, whose networks count only against the beginning of an id.
    func networks(for texts: [String], onlySwarm: Bool = false) async throws -> NetworkDirectory {
        let swarm = try await backend.clusterNetworks()
        let known = Set(swarm.map(\.id.rawValue) + (onlySwarm ? swarm.map(\.spec.name) : []))
        guard let engine, !texts.allSatisfy(known.contains) else { return NetworkDirectory(swarm: swarm) }
        do {
            return NetworkDirectory(swarm: swarm, engine: try await engine.engine.limited(to: engine.patience).networks())
        } catch let error as EngineError {
            let alone = NetworkDirectory(swarm: swarm)
            switch error {
            case .absent, .refused: return alone
            // What is one of the swarm's by itself does not wait for an engine that does not answer.
            case .silent, .broken: guard texts.allSatisfy({ (try? alone.meaning(of: $0)) != nil }) else { throw error }
            }
            return alone
        }
    }

    /// Sends on a request that names a network of the engine's own: as it came where the engine must take it so, else by the id, as the
    /// engine also has networks that stand for the swarm's.
    func ask(_ request: APIRequest, onNetwork id: String, named name: String) async throws -> APIResponse {
        let engine = try localEngine()
        guard request.path[1] != name, request.path[1] != id else { return APIResponse(try await ask(engine, request)) }
        let query = request.uri.split(separator: "?", maxSplits: 1).dropFirst().first.map(String.init) ?? ""
        var path = request.path
        path[1] = id
        return APIResponse(try await ask(engine, request, uri: enginePath(request, path, query: query)))
    }
}
