internal import GRPCCore
internal import Logging
internal import WeftModel
internal import WeftNet

/// Sessions: one task reads and serves, one writes, one sees to it that a closed session ends.
struct DispatcherHandler: Weft_V1_Dispatcher.SimpleServiceProtocol {
    let service: any ManagerService
    let queueLimit: Int
    let logger: Logger

    func session(
        request: RPCAsyncSequence<Weft_V1_NodeMessage, any Error>, response: RPCWriter<Weft_V1_ManagerMessage>,
        context: ServerContext
    ) async throws {
        let session = NodeSession(
            peer: try Caller.identity(context), remoteAddress: Caller.address(context), queueLimit: queueLimit)
        let failure = await SessionTasks.run(
            outbox: session.outbox,
            write: { for part in Weft_V1_ManagerMessage.parts(of: $0) { try await response.write(part) } },
            serve: {
                try await service.session(
                    session, incoming: NodeMessages(wire: request) { skipped in report(skipped, to: session) })
            })
        if let overflow = session.outbox.overflow {
            throw RPCError(code: .resourceExhausted, message: "\(overflow)")
        }
        if let failure {
            let reason = RPCError(serving: failure)
            logger.warning("a session ended", metadata: ["node": "\(session.node)", "reason": "\(reason.message)"])
            throw reason
        }
    }

    /// What makes no sense of a node's is not known to the swarm; the node is told.
    private func report(_ skipped: [WireError], to session: NodeSession) {
        for error in skipped {
            logger.warning("a node reported what cannot be", metadata: ["node": "\(session.node)", "problem": "\(error)"])
            if let object = error.object { try? session.send(.endpointRefused(EndpointID(object), reason: "\(error)")) }
        }
    }
}

extension DispatcherHandler {
    func showAddress(
        request: Weft_V1_ShowAddressRequest, context: ServerContext
    ) async throws -> Weft_V1_ShowAddressResponse {
        let peer = try Caller.identity(context)
        guard let source = (try? HostPort(parsing: Caller.address(context))).flatMap({ IPv4Address($0.host) }) else {
            throw RPCError(code: .unimplemented, message: "not called over IPv4")
        }
        var response = Weft_V1_ShowAddressResponse()
        response.seen = source.rawValue
        do {
            let reply = try await service.addressShown(source, by: peer)
            response.managerAddresses = reply.managerAddresses.map(\.rawValue)
            if let address = reply.dataPathAddress { response.dataPathAddress = address.rawValue }
            return response
        } catch { throw RPCError(serving: error) }
    }
}

extension DispatcherHandler {
    func logs(
        request: RPCAsyncSequence<Weft_V1_NodeLog, any Error>, response: RPCWriter<Weft_V1_LogOrder>, context: ServerContext
    ) async throws {
        let stream = NodeLogStream(
            peer: try Caller.identity(context), remoteAddress: Caller.address(context), queueLimit: queueLimit)
        let failure = await SessionTasks.run(
            outbox: stream.outbox, write: { try await response.write(Weft_V1_LogOrder($0)) },
            serve: { try await service.logs(stream, incoming: NodeLogMessages(wire: request)) })
        if let overflow = stream.outbox.overflow { throw RPCError(code: .resourceExhausted, message: "\(overflow)") }
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
