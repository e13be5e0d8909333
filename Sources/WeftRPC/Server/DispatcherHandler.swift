internal import GRPCCore
internal import WeftModel

/// Sessions: one task reads and serves, one writes, one sees to it that a closed session ends.
struct DispatcherHandler: Weft_V1_Dispatcher.SimpleServiceProtocol {
    let service: any ManagerService
    let queueLimit: Int

    func session(
        request: RPCAsyncSequence<Weft_V1_NodeMessage, any Error>, response: RPCWriter<Weft_V1_ManagerMessage>,
        context: ServerContext
    ) async throws {
        let session = NodeSession(
            peer: try Caller.identity(context), remoteAddress: Caller.address(context), queueLimit: queueLimit)
        let failure = await SessionTasks.run(
            outbox: session.outbox, write: { try await response.write(Weft_V1_ManagerMessage($0)) },
            serve: { try await service.session(session, incoming: NodeMessages(wire: request)) })
        if let overflow = session.outbox.overflow {
            throw RPCError(code: .resourceExhausted, message: "\(overflow)")
        }
        if let failure { throw RPCError(serving: failure) }
    }
}

/// The tasks of one end of a session.
enum SessionTasks {
    /// How long what is queued may take to get out once the session is closed.
    static let drainTime = Duration.seconds(2)

    private enum Event {
        case written((any Error)?)
        case served((any Error)?)
        case drainTimeOver
    }

    /// Returns when `serve` has returned and what it sent is written, or cannot be; nil or the first error.
    static func run<Message: Sendable>(
        outbox: Outbox<Message>, write: @escaping @Sendable (Message) async throws -> Void,
        serve: @escaping @Sendable () async throws -> Void
    ) async -> (any Error)? {
        await withTaskGroup(of: Event.self) { group in
            group.addTask {
                do {
                    for await message in outbox.messages { try await write(message) }
                    return .written(nil)
                } catch { return .written(error) }
            }
            group.addTask {
                do {
                    try await serve()
                    return .served(nil)
                } catch { return .served(error) }
            }
            group.addTask {
                for await _ in outbox.closing {}
                try? await Task.sleep(for: drainTime)
                return .drainTimeOver
            }
            var failure: (any Error)?
            loop: for await event in group {
                switch event {
                case .served(let error):
                    failure = failure ?? error
                    outbox.close(last: nil)
                case .written(let error):
                    failure = failure ?? error
                    break loop
                case .drainTimeOver:
                    break loop
                }
            }
            outbox.close(last: nil)
            group.cancelAll()
            return failure
        }
    }
}
