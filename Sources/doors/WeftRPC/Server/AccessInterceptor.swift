internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import WeftIdentity
internal import WeftModel
internal import X509

/// Decides for every call whether the caller may make it: those without a certificate of the swarm may join, and
/// members may do everything.
struct AccessInterceptor: ServerInterceptor {
    private static let open: Set<MethodDescriptor> = [
        Weft_V1_Membership.Method.RootCertificate.descriptor, Weft_V1_Membership.Method.Join.descriptor,
    ]
    let service: any ManagerService

    @concurrent
    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next:
            @Sendable @concurrent (StreamingServerRequest<Input>, ServerContext) async throws ->
            StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        if !Self.open.contains(context.descriptor) {
            let peer = try Caller.identity(context)
            guard service.isMember(peer.node) else {
                throw RPCError(
                    code: .permissionDenied,
                    message: "node \(peer.node) is no member of the swarm any more; to join again, "
                        + "run `weft swarm leave --force` on it and then `weft swarm join`")
            }
        }
        return try await next(request, context)
    }
}

/// Who makes a call.
enum Caller {
    static func identity(_ context: ServerContext) throws -> PeerIdentity {
        let transport = context.transportSpecific as? HTTP2ServerTransport.Posix.Context
        // Only a chain was verified; a certificate alone is what a joiner signed itself.
        guard let leaf = transport?.peerCertificateChain?.leaf else {
            throw RPCError(
                code: .unauthenticated, message: "only nodes of the swarm may do this; join it with `weft swarm join`")
        }
        do { return try PeerIdentity(certificate: leaf) } catch {
            throw RPCError(code: .unauthenticated, message: "\(error)")
        }
    }

    /// `address:port`, from gRPC's `ipv4:address:port`.
    static func address(_ context: ServerContext) -> String {
        let text = context.remotePeer
        return text.hasPrefix("ipv4:") ? String(text.dropFirst(5)) : text
    }
}

extension RPCError {
    /// What the caller gets to see of an error in the service.
    init(serving error: any Error) {
        switch error {
        case let error as RPCError: self = error
        case let error as Refusal:
            let code: Code =
                switch error.kind {
                case .denied: .permissionDenied
                case .invalid: .invalidArgument
                case .unavailable: .unavailable
                }
            self.init(code: code, message: error.sentence)
        case let error as WireError: self.init(code: .invalidArgument, message: "\(error)")
        case let error as IdentityError: self.init(code: .invalidArgument, message: "\(error)")
        case is CancellationError: self.init(code: .cancelled, message: "the call was cancelled")
        default: self.init(code: .internalError, message: "\(error)")
        }
    }
}
