import Synchronization
import WeftEngine
import WeftModel

/// The container engine of this host, as the swarm sees it: services' containers go where there is one.
extension Host {
    private static let engineWords = Mutex<EngineWords?>(nil)

    /// What the engine said of itself last; nil while there is none.
    static var engine: EngineWords? { engineWords.withLock { $0 } }

    /// Asks the engine what it is, again and again: it may come, go and be another. Until cancelled.
    static func follow(_ engine: Engine) async {
        while !Task.isCancelled {
            do {
                let words = try await engine.words()
                engineWords.withLock { $0 = words }
            } catch EngineError.absent {
                engineWords.withLock { $0 = nil }
            } catch {
                // One that does not answer is still there.
            }
            try? await Task.sleep(for: .seconds(Self.engine == nil ? 2 : 30))
        }
    }
}
