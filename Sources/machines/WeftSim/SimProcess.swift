import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode

/// A host's disk, which outlives weftd.
final class SimDisk {
    var saved = SavedNode()
    var interfaceIndexes: [EndpointID: Int] = [:]
    /// It takes nothing before.
    var fullUntil = Instant(nanoseconds: 0)
}

/// What weftd's agent reaches beyond its memory: the disk, and all to whom it speaks. It may die between any two things that it
/// does; what it goes on to do then reaches nobody.
final class SimProcess: AgentStore, AgentOutlet {
    enum Effect {
        case send(NodeMessage)
        case reply(RequestID, Result<Endpoint, AttachError>)
        case replyReservation(RequestID, Result<IPAddress, AttachError>)
        case reconcile(ViewChange, generation: Generation?, observe: Bool)
        case followed(RequestID)
        case assigned(AssignedTasks)
        case keysChanged(KeyNews)
        case lost([Endpoint], reason: String)
        case dismissed(reason: String)
        case note(AgentNote)
    }

    private struct Full: Error, CustomStringConvertible { var description: String { "the disk is full" } }

    private let disk: SimDisk
    private var random: SeededGenerator
    private var now = Instant(nanoseconds: 0)
    /// Whether anything may go wrong.
    private var isStormy = false
    private var effects: [Effect] = []
    private(set) var isDead = false
    private(set) var failedSaves = 0

    init(disk: SimDisk, seed: UInt64) {
        self.disk = disk
        random = SeededGenerator(seed: seed)
    }

    func begin(at now: Instant, isStormy: Bool) {
        self.now = now
        self.isStormy = isStormy
        failedSaves = 0
    }

    func takeEffects() -> [Effect] {
        defer { effects = [] }
        return effects
    }

    private func add(_ effect: Effect) {
        if lives() { effects.append(effect) }
    }

    private func lives() -> Bool {
        if isStormy, Int.random(in: 0..<3000, using: &random) == 0 { isDead = true }
        return !isDead
    }

    private func write(_ body: (SimDisk) -> Void) throws {
        guard lives() else { return }
        if isStormy, now < disk.fullUntil || random.chance(1) {
            failedSaves += 1
            throw Full()
        }
        body(disk)
    }

    // MARK: The disk

    func saveOwn(_ change: SavedNode.OwnChange, interfaceIndexes: [EndpointID: Int]) throws {
        try write { disk in
            disk.saved.apply(change)
            if change.isFull { disk.interfaceIndexes = [:] }
            for endpoint in change.own.endpoints { disk.interfaceIndexes[endpoint.id] = interfaceIndexes[endpoint.id] }
            for id in change.removedEndpoints { disk.interfaceIndexes[id] = nil }
        }
    }

    func saveView(_ change: Assignments) throws { try write { $0.saved.apply(change) } }

    // MARK: The others

    func send(_ message: NodeMessage) {
        add(.send(message))
        // Given back on disk, and nobody hears of it.
        if case .addressesReturned = message, isStormy, random.chance(10) { isDead = true }
    }

    func reply(_ request: RequestID, _ result: Result<Endpoint, AttachError>) { add(.reply(request, result)) }
    func replyReservation(_ request: RequestID, _ result: Result<IPAddress, AttachError>) {
        add(.replyReservation(request, result))
    }
    func reconcile(_ change: ViewChange, generation: Generation?, observe: Bool) {
        add(.reconcile(change, generation: generation, observe: observe))
    }
    func replyFollowed(_ request: RequestID) { add(.followed(request)) }
    func assigned(_ tasks: AssignedTasks) { add(.assigned(tasks)) }
    func keysChanged(_ news: KeyNews) { add(.keysChanged(news)) }
    func lost(_ endpoints: [Endpoint], reason: String) { add(.lost(endpoints, reason: reason)) }
    func dismissed(reason: String) { add(.dismissed(reason: reason)) }
    func note(_ note: AgentNote) { add(.note(note)) }
}
