import WeftEngine

extension Host {
    /// The container engine of this host.
    static let engine = EnginePresence()
}
