import WeftControl
import WeftIdentity
import WeftManager
import WeftModel
import WeftNet
import WeftRPC

/// What nodes ask of this manager over gRPC, and who answers it.
struct ManagerPort: ManagerService {
    let manager: Manager
    let desk: TaskLogDesk
    let joining: JoinService
    /// This manager, as the swarm knew it when it started.
    let advertised: Node?

    func rootCertificatePEM() async throws -> String { try await joining.rootCertificatePEM() }

    func join(secret: String, csrPEM: String, as availability: NodeAvailability, remoteAddress: String) async throws -> JoinGrant {
        try await joining.join(secret: secret, csrPEM: csrPEM, as: availability, remoteAddress: remoteAddress)
    }

    func renew(
        _ peer: PeerIdentity, csrPEM: String
    ) async throws -> (certificatePEM: String, rootCertificatesPEM: String) {
        try await joining.renew(peer, csrPEM: csrPEM)
    }

    func addressShown(_ address: IPv4Address, by peer: PeerIdentity) async throws -> AddressReply {
        // The hello that follows finds it done: it waits behind it.
        manager.addressShown(address, by: peer.node)
        let known = try await manager.read { $0.node(peer.node)?.dataPathAddress }
        return AddressReply(
            dataPathAddress: known, managerAddresses: [advertised?.dataPathAddress, advertised?.address].compactMap(\.self))
    }

    func isMember(_ node: NodeID) -> Bool { manager.isMember(node) }

    func session(_ session: NodeSession, incoming: NodeMessages) async throws {
        guard let address = (try? HostPort(parsing: session.remoteAddress)).flatMap({ IPv4Address($0.host) }) else {
            throw Refusal(.invalid, "sessions come over IPv4")
        }
        let outlet = SessionOutlet(
            send: { message in (try? session.send(message)) != nil }, close: { reason in session.close(reason: reason) })
        let id = manager.connect(session.node, address: address, outlet: outlet)
        defer {
            manager.disconnect(session.node, session: id)
            desk.sessionEnded(over: session.remoteAddress)
        }
        for try await message in incoming {
            guard manager.receive(message, from: session.node, session: id) else {
                session.close(reason: "the manager does not keep up; try again")
                return
            }
        }
    }

    func logs(_ stream: NodeLogStream, incoming: NodeLogMessages) async throws {
        let outlet = LogOutlet(send: { order in (try? stream.send(order)) != nil }, close: { _ in stream.close() })
        let id = desk.connect(stream.node, over: stream.remoteAddress, outlet: outlet)
        defer { desk.disconnect(id) }
        for try await log in incoming { desk.receive(log, over: id) }
    }
}
