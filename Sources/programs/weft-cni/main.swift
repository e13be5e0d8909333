// The CNI plugin: called by podman, nerdctl, kubelet and others with a command in the environment and a network
// configuration on standard input. It asks weftd and prints what came of it.
import Glibc
import NIOCore
import WeftText

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

/// All of standard input.
private func readInput() throws(CNIError) -> [UInt8] {
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while true {
        let count = read(STDIN_FILENO, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw CNIError(.inputOutput, "cannot read standard input: \(String(cString: strerror(errno)))") }
        if count == 0 { return result }
        result += buffer[..<count]
        guard result.count < 16 << 20 else { throw CNIError(.inputOutput, "more than 16 MiB came on standard input") }
    }
}

private func write(_ value: JSON) { print(value.text) }

do {
    let variables = environment()
    // One loop is enough, and a process that ends at once starts no thread a core for it.
    NIOSingletons.groupLoopCountSuggestion = 1
    let input = try readInput()
    do {
        if let output = try await Plugin(environment: variables, input: input).run() { write(output) }
    } catch {
        let version = (try? JSON(parsing: input)).flatMap { try? $0.string("cniVersion") }
        write(error.json(version: version ?? Configuration.versions.last ?? ""))
        exit(1)
    }
} catch {
    write(error.json(version: Configuration.versions.last ?? ""))
    exit(1)
}
