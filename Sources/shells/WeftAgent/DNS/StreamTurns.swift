import NIOCore

/// A connection with queries that have arrived.
protocol StreamTurn: AnyObject {
    /// Answers one query; asks for another turn if there are more.
    func takeTurn()
    /// After some turns of it and of others: writes what was answered.
    func endTurns()
}

/// Has the connections of all askers answered in turn, a query at a time, and the event loop look at its other sockets in
/// between. Confined to the server's event loop.
final class StreamTurns {
    private let eventLoop: any EventLoop
    private var waiting = TurnQueue<DNSAsker, any StreamTurn>()
    private var isScheduled = false
    /// Long enough that the event loop does not take it for due before it has looked at its sockets.
    private static let pause = TimeAmount.microseconds(50)

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func append(_ connection: any StreamTurn, of asker: DNSAsker) {
        waiting.append(connection, of: asker)
        guard !isScheduled else { return }
        isScheduled = true
        run()
    }

    private func run() {
        var served: [ObjectIdentifier: any StreamTurn] = [:]
        for _ in 0..<DNSLimits.turnsAtOnce {
            guard let connection = waiting.next() else { break }
            served[ObjectIdentifier(connection)] = connection
            connection.takeTurn()
        }
        for connection in served.values { connection.endTurns() }
        guard !waiting.isEmpty else {
            isScheduled = false
            return
        }
        eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { self.run() }
    }
}
