/// Weft's version, as `weft version` and the API show it.
let weftVersion = "0.1.0"

/// Where this daemon keeps things.
struct Settings: Sendable {
    let runDirectory: String
    let stateDirectory: String
    let bpfDirectory: String
    let socketPath: String
    let shimExecutable: String

    var storePath: String { "\(stateDirectory)/store.sqlite" }
}
