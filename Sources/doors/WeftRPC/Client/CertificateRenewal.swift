internal import FoundationEssentials
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Logging
internal import SwiftProtobuf
internal import WeftIdentity
internal import WeftModel

/// Renews a node's certificate at a random point within a span of its life, so that nodes that joined together do not
/// all come back together; and at once when it is to be from another root.
struct CertificateRenewal: Sendable {
    let credentials: NodeCredentials
    let logger: Logger
    /// Drawn once, so that sessions that come and go do not put it off.
    private let share: Double

    init(credentials: NodeCredentials, share: ClosedRange<Double>, logger: Logger) {
        self.share = Double.random(in: share)
        self.credentials = credentials
        self.logger = logger
    }

    /// Time from `now` until the renewal is due; zero or less: it is due.
    func delay(now: Instant) -> Duration {
        let identity = credentials.identity
        guard identity.isOfWantedRoot else { return .zero }
        return identity.issued + (identity.expiry - identity.issued) * share - now
    }

    /// Renews whenever it is due, until cancelled.
    func run(over client: Weft_V1_Membership.Client<HTTP2ClientTransport.Posix>) async throws {
        while true {
            let changes = credentials.changes()
            let due = delay(now: .now)
            if due > .zero {
                // The wall clock, which certificates go by, may be set meanwhile.
                try await Self.sleep(for: min(due, .seconds(60)), orUntil: changes)
                continue
            }
            do {
                try await renew(over: client)
                logger.info("certificate renewed", metadata: ["node": "\(credentials.identity.node)"])
                // The manager's mind may have changed meanwhile; it need not be asked in a circle.
                if !credentials.identity.isOfWantedRoot { try await Task.sleep(for: .seconds(1)) }
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                let left = credentials.identity.expiry - .now
                let pause = max(.seconds(1), min(.seconds(600), left / 20))
                logger.warning(
                    "certificate not renewed",
                    metadata: ["reason": "\(error)", "expires in": "\(left)", "next attempt in": "\(pause)"])
                try await Task.sleep(for: pause)
            }
        }
    }

    private static func sleep(for duration: Duration, orUntil changes: AsyncStream<Void>) async throws {
        try await withThrowingTaskGroup { group in
            group.addTask { try await Task.sleep(for: duration) }
            group.addTask { for await _ in changes { return } }
            defer { group.cancelAll() }
            try await group.next()
        }
        try Task.checkCancellation()
    }

    private func renew(over client: Weft_V1_Membership.Client<HTTP2ClientTransport.Posix>) async throws {
        let old = credentials.identity
        let key = NodeKey()
        let request = try Weft_V1_RenewRequest.with { $0.csrPem = try key.requestPEM() }
        let response = try await client.renew(request, options: ManagerTransport.callOptions)
        let new = try await NodeIdentity(
            key: key, certificatePEM: response.certificatePem, rootCertificatesPEM: response.rootCertificatesPem)
        guard new.node == old.node, new.cluster == old.cluster else {
            throw IdentityError.subjectIncomplete(part: "node")
        }
        try credentials.replace(with: new)
    }
}

extension Instant {
    static var now: Instant { Instant(nanoseconds: Int64(Date.now.timeIntervalSince1970 * 1_000_000_000)) }
}
