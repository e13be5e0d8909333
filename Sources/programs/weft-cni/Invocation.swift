/// The environment variables of a call.
struct Invocation {
    let container: String
    let interface: String
    /// Empty on DEL when the namespace is gone.
    let namespacePath: String
    /// `CNI_ARGS`: `K=V;K=V`.
    let arguments: [String: String]

    init(_ environment: [String: String], needsNamespace: Bool) throws(CNIError) {
        func value(_ key: String) throws(CNIError) -> String {
            guard let text = environment[key], !text.isEmpty else {
                throw CNIError(.invalidEnvironment, "\(key) is missing")
            }
            return text
        }
        container = try value("CNI_CONTAINERID")
        interface = try value("CNI_IFNAME")
        namespacePath = needsNamespace ? try value("CNI_NETNS") : environment["CNI_NETNS"] ?? ""
        var arguments: [String: String] = [:]
        for pair in (environment["CNI_ARGS"] ?? "").split(separator: ";") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw CNIError(.invalidEnvironment, "CNI_ARGS holds \"\(pair)\"", details: "write KEY=VALUE;KEY=VALUE")
            }
            arguments[String(parts[0])] = String(parts[1])
        }
        self.arguments = arguments
        // Everything else is somebody's business only if the runtime says so.
        let known: Set = ["IgnoreUnknown", "IP", "MAC", "K8S_POD_NAME"]
        let ignores = ["1", "true", "t"].contains((arguments["IgnoreUnknown"] ?? "").lowercased())
        if !ignores, let unknown = arguments.keys.sorted().first(where: { !known.contains($0) }) {
            throw CNIError(
                .invalidEnvironment, "CNI_ARGS has the unknown key \(unknown)", details: "leave it out, or add IgnoreUnknown=1")
        }
    }
}
