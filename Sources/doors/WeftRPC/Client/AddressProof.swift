internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Logging
internal import NIOPosix
internal import WeftIdentity
internal import WeftModel
internal import WeftNet

/// Shows a manager that this node's data path address is its own, by calling from it, where sessions come from another.
struct AddressProof: Sendable {
    let credentials: NodeCredentials
    let address: IPv4Address
    /// For one attempt; a session must be open soon after.
    let patience: Duration
    let eventLoopGroup: MultiThreadedEventLoopGroup
    let logger: Logger

    /// Does what it takes; the manager says what it thinks of it in the session.
    func show(to manager: HostPort, over dispatcher: Weft_V1_Dispatcher.Client<HTTP2ClientTransport.Posix>) async {
        do {
            let answer = try await dispatcher.showAddress(.init(), options: options)
            if answer.seen == address.rawValue { return }
            if answer.hasDataPathAddress, answer.dataPathAddress == address.rawValue { return }
            // A network of its own for data may lead to the manager by another of its addresses only.
            let others = answer.managerAddresses.prefix(2).map { HostPort(host: "\(IPv4Address(rawValue: $0))", port: manager.port) }
            for target in [manager] + others.filter({ $0 != manager }) where await show(to: target) { return }
        } catch {
            // A manager of a version before this does not ask for it.
            logger.debug("the data path address was not shown", metadata: ["reason": "\(error)"])
        }
    }

    private func show(to target: HostPort) async -> Bool {
        do {
            let transport = try ManagerTransport.make(
                target, certificate: credentials.tls,
                verify: credentials.trust.verifyingManager(of: credentials.identity.cluster), from: address, forAtMost: patience * 6 / 5,
                eventLoopGroup: eventLoopGroup)
            let answer = try await withGRPCClient(transport: transport) { client in
                try await Weft_V1_Dispatcher.Client(wrapping: client).showAddress(.init(), options: options)
            }
            return answer.seen == address.rawValue
        } catch {
            logger.info(
                "the data path address could not be shown to the manager",
                metadata: ["address": "\(address)", "manager": "\(target)", "reason": "\(error)"])
            return false
        }
    }

    private var options: CallOptions {
        var options = ManagerTransport.callOptions
        options.timeout = patience
        return options
    }
}
