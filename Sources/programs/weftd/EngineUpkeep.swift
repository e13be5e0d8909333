import Logging
import WeftEngine
import WeftHTTP

/// What this node's coming into a swarm and leaving it means for the engine.
struct EngineUpkeep: Sendable {
    let engine: LocalEngine
    let logger: Logger

    /// What stood for the swarm's networks is of no use any more. One that a container is still on stays until it is not.
    func forgetNetworks() async {
        await askedFor { [engine] in try? await engine.shadows.collect(keeping: []) }
    }

    /// Containers on overlays reach the outside by a bridge that is there from the start. Without an engine there is nothing to do.
    func prepare() async { await askedFor { await ensureGatewayBridge() } }

    /// What an operator's request has the engine do. It goes on by itself when the engine takes long, and the request is answered.
    private func askedFor(_ body: @escaping @Sendable () async -> Void) async {
        let silence = EngineError.silent(path: engine.client.socketPath)
        do { try await limited(to: engine.patience, cancels: false, late: silence, body) } catch {
            logger.warning("\(silence)")
        }
    }

    private func ensureGatewayBridge() async {
        do {
            guard try await engine.kind().joining == .byDriver else { return }
            try await engine.engine.ensureGatewayBridge()
        } catch EngineError.absent {} catch {
            logger.warning("the engine makes no \(Engine.gatewayBridge)", metadata: ["reason": "\(error)"])
        }
    }
}
