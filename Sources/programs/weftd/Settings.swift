import WeftBPF

/// Weft's version, as `weft version` and the API show it.
let weftVersion = "0.1.0"

/// Where this daemon keeps things.
struct Settings: Sendable {
    let runDirectory: String
    let stateDirectory: String
    let bpfDirectory: String
    /// How programs are put at interfaces; nil: as the kernel can.
    let attachment: AttachmentKind?
    /// Where connections to services are given their task.
    let translation: ServiceTranslation
    let socketPath: String
    let shimExecutable: String
    let tunnelExecutable: String
    /// Where the engine finds its driver; nil: nowhere.
    let pluginSocketPath: String?
    /// Listening sockets that a supervisor keeps for this process, by path.
    let inheritedSockets: [String: Int32]
    /// The container engine's socket; it need not be there.
    let engineSocketPath: String
    /// How many descriptors this process may have open.
    let descriptors: Int

    var storePath: String { "\(stateDirectory)/store.sqlite" }
}
