// The CNI plugin: called by podman, nerdctl, kubelet and others with a command in the environment and a network
// configuration on standard input. It asks weftd and prints what came of it.
import Glibc
import WeftTemplate

private func environment() -> [String: String] {
    var result: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
        let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
        entry += 1
    }
    return result
}

private func write(_ value: TemplateValue) { print(value.json) }

do {
    let variables = environment()
    let input = try Daemon.readAll(STDIN_FILENO) { CNIError(.inputOutput, "cannot read standard input: \($0)") }
    do {
        if let output = try Plugin(environment: variables, input: input).run() { write(output) }
    } catch {
        let version = (try? TemplateValue(json: input)).flatMap { try? $0.string("cniVersion") }
        write(error.json(version: version ?? Configuration.versions.last ?? ""))
        exit(1)
    }
} catch {
    write(error.json(version: Configuration.versions.last ?? ""))
    exit(1)
}
