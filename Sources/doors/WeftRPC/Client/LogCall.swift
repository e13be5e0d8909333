internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import WeftModel

/// A node's stream of its tasks' output.
enum LogCall {
    /// Returns, or throws, when the stream is over.
    static func run(_ serve: @escaping LogServing, over dispatcher: Weft_V1_Dispatcher.Client<HTTP2ClientTransport.Posix>) async throws {
        var options = ManagerTransport.callOptions
        options.timeout = nil
        // gRPC runs the producer of requests by itself; it hands its writer over to who serves.
        let (writers, writersIn) = AsyncStream<RPCWriter<Weft_V1_NodeLog>>.makeStream()
        let done = AsyncStream<Never>.makeStream()
        let request = StreamingClientRequest<Weft_V1_NodeLog> { writer in
            writersIn.yield(writer)
            for await _ in done.stream {}
        }
        try await dispatcher.logs(request: request, options: options) { response in
            defer { done.continuation.finish() }
            _ = try response.accepted.get()
            guard let writer = await writers.first(where: { _ in true }) else { throw SessionError.closed }
            try await serve(LogOrders(wire: response.messages)) { try await writer.write(Weft_V1_NodeLog($0)) }
        }
    }
}
