import Synchronization
package import WeftControl
package import WeftModel

/// Where a node's stream of its tasks' output is written to. Neither call waits.
package struct LogOutlet: Sendable {
    /// Queues an order; false when the stream's queue is full or the stream is over.
    package let send: @Sendable (LogOrder) -> Bool
    package let close: @Sendable (_ reason: String) -> Void

    package init(send: @escaping @Sendable (LogOrder) -> Bool, close: @escaping @Sendable (String) -> Void) {
        self.send = send
        self.close = close
    }
}

/// Reads the output of tasks on other nodes: who asks gets it as far as it takes it, over the streams that the nodes have opened.
package final class TaskLogDesk: Sendable {
    /// A node that has just connected opens its stream a moment later.
    private static let openingTime = Duration.seconds(2)

    private enum Delivery: Sendable {
        case lines([LogLine])
        case end(reason: String?)
    }

    private struct State {
        var readings = LogReadings()
        var outlets: [LogStreamID: LogOutlet] = [:]
        /// What each came over.
        var connections: [LogStreamID: String] = [:]
        /// What waits in them is bounded by the readings' windows.
        var takers: [RequestNumber: AsyncStream<Delivery>.Continuation] = [:]
        /// Nodes that know how, as they have had a stream.
        var able: Set<NodeID> = []
        var isShutDown = false
    }

    private let state = Mutex(State())
    private let node: @Sendable (NodeID) async throws -> Node?
    private let openingTime: Duration

    /// `node`: what is known of one.
    package init(openingTime: Duration = TaskLogDesk.openingTime, node: @escaping @Sendable (NodeID) async throws -> Node?) {
        self.node = node
        self.openingTime = openingTime
    }

    // MARK: Nodes

    /// A node has opened its stream; the caller then hands over what comes, and its end.
    ///
    /// - Parameter connection: what the stream came over; the session came over the same.
    package func connect(_ node: NodeID, over connection: String, outlet: LogOutlet) -> LogStreamID {
        let (id, isShutDown) = state.withLock { state in
            let (id, actions) = state.readings.open(node)
            (state.outlets[id], state.connections[id]) = (outlet, connection)
            state.able.insert(node)
            perform(actions, &state)
            return (id, state.isShutDown)
        }
        if isShutDown { outlet.close("the manager is going down") }
        return id
    }

    package func receive(_ log: NodeLog, over stream: LogStreamID) {
        state.withLock { state in perform(state.readings.received(log, over: stream), &state) }
    }

    package func disconnect(_ stream: LogStreamID) {
        state.withLock { state in
            perform(state.readings.close(stream), &state)
            (state.outlets[stream], state.connections[stream]) = (nil, nil)
        }
    }

    /// The session over this connection is over, by the manager's word or by the node's: a node that is silent has no stream either.
    package func sessionEnded(over connection: String) {
        state.withLock { state in
            for (id, its) in state.connections.sorted(by: { $0.key < $1.key }) where its == connection {
                perform(state.readings.close(id), &state)
                state.outlets.removeValue(forKey: id)?.close("the session is over")
            }
        }
    }

    package func shutDown() {
        state.withLock { state in
            state.isShutDown = true
            for (id, outlet) in state.outlets.sorted(by: { $0.key < $1.key }) {
                perform(state.readings.close(id), &state)
                outlet.close("the manager is going down")
            }
            state.outlets = [:]
        }
    }

    // MARK: Who reads

    /// Hands over what a task wrote, as it comes, and returns at its end; the node is given credit as `take` returns. Throws
    /// `LogUnavailable`, and what `take` throws.
    package func read(
        _ task: ServiceTask, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void
    ) async throws {
        guard let container = task.status.container, let node = task.node else { return }
        try await waitForStream(of: node)
        let (deliveries, delivery) = AsyncStream<Delivery>.makeStream()
        let number = try state.withLock { state in
            let (number, actions) = try state.readings.begin(task.id, container: container, on: node, options)
            state.takers[number] = delivery
            perform(actions, &state)
            return number
        }
        defer { cancel(number) }
        for await delivery in deliveries {
            switch delivery {
            case .lines(let lines):
                let lines = lines.filter(options.takes)
                if !lines.isEmpty { try await take(lines) }
            case .end(let reason?): throw LogUnavailable(reason)
            case .end(nil): return
            }
            if case .lines(let lines) = delivery { taken(number, lines.reduce(0) { $0 + $1.sizeBytes }) }
        }
        try Task.checkCancellation()
    }

    private func taken(_ number: RequestNumber, _ bytes: Int) {
        state.withLock { state in perform(state.readings.taken(number, bytes: bytes), &state) }
    }

    private func cancel(_ number: RequestNumber) {
        state.withLock { state in
            perform(state.readings.cancel(number), &state)
            state.takers.removeValue(forKey: number)?.finish()
        }
    }

    private func waitForStream(of id: NodeID) async throws {
        let deadline = ContinuousClock.now + openingTime
        while !state.withLock({ $0.readings.hasStream(id) }) {
            guard let node = try await node(id) else { throw LogUnavailable("its node \(id) is not in the swarm any more") }
            let name = node.description?.hostname ?? id.rawValue
            guard node.state == .ready else { throw LogUnavailable("its node \(name) is down") }
            guard ContinuousClock.now < deadline else {
                if state.withLock({ $0.able.contains(id) }) { throw LogUnavailable("its node \(name) is not connected at the moment") }
                throw LogUnavailable(
                    "its node \(name) does not hand it out: weftd there, of version \(node.description?.weftVersion ?? "?"), is older than "
                        + "that, or is about to connect; `docker logs` or `weft logs` on that node shows it")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Under the lock, so that what is said of a reading is said in order; nothing here waits.
    private func perform(_ actions: [LogReadings.Action], _ state: inout State) {
        for action in actions {
            switch action {
            case .order(let stream, let order):
                guard let outlet = state.outlets[stream], !outlet.send(order) else { continue }
                outlet.close("the node does not keep up with the manager")
            case .deliver(let number, let lines): state.takers[number]?.yield(.lines(lines))
            case .end(let number, let reason):
                let taker = state.takers.removeValue(forKey: number)
                taker?.yield(.end(reason: reason))
                taker?.finish()
            case .close(let stream, let reason): state.outlets.removeValue(forKey: stream)?.close(reason)
            }
        }
    }
}
