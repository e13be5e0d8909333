internal import GRPCCore
internal import WeftIdentity
internal import WeftModel

/// Joins and renewals.
struct MembershipHandler: Weft_V1_Membership.SimpleServiceProtocol {
    let service: any ManagerService

    func rootCertificate(
        request: Weft_V1_RootCertificateRequest, context: ServerContext
    ) async throws -> Weft_V1_RootCertificateResponse {
        var response = Weft_V1_RootCertificateResponse()
        response.rootCertificatePem = try await answering { try await service.rootCertificatePEM() }
        return response
    }

    func join(request: Weft_V1_JoinRequest, context: ServerContext) async throws -> Weft_V1_JoinResponse {
        let grant = try await answering {
            let said = request.availability
            guard let availability = said.isEmpty ? .active : NodeAvailability(rawValue: said) else {
                throw Refusal(.unavailable, "this manager knows no availability \"\(Wire.shown(said))\"; join without one")
            }
            return try await service.join(
                secret: request.secret, csrPEM: request.csrPem, as: availability, remoteAddress: Caller.address(context))
        }
        var response = Weft_V1_JoinResponse()
        response.nodeID = grant.node.rawValue
        response.clusterID = grant.cluster.rawValue
        response.certificatePem = grant.certificatePEM
        response.rootCertificatesPem = grant.rootCertificatesPEM
        return response
    }

    func renew(request: Weft_V1_RenewRequest, context: ServerContext) async throws -> Weft_V1_RenewResponse {
        let peer = try Caller.identity(context)
        let renewed = try await answering { try await service.renew(peer, csrPEM: request.csrPem) }
        var response = Weft_V1_RenewResponse()
        response.certificatePem = renewed.certificatePEM
        response.rootCertificatesPem = renewed.rootCertificatesPEM
        return response
    }

    private func answering<Result>(_ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch { throw RPCError(serving: error) }
    }
}
