/// What this build calls itself.
enum Version {
    static let text = "0.1.0"
    /// The Engine API that the requests are written for.
    static let api = "1.41"
    #if arch(x86_64)
        static let architecture = "amd64"
    #elseif arch(arm64)
        static let architecture = "arm64"
    #else
        static let architecture = "unknown"
    #endif
}
