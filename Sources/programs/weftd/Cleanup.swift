import Glibc
import WeftKernel
import WeftLinux
import WeftSandbox
import WeftTunnelClient

/// What `weftd --cleanup` does: all that Weft made on the host goes, but for the state directory.
struct Cleanup {
    let runDirectory: String
    let bpfDirectory: String
    /// Listening sockets, of which files may be left.
    let sockets: [String]

    /// - Throws: when weftd runs, or what could not be removed.
    func run() throws {
        let listening = try Self.listening()
        for path in sockets where listening.contains(path) {
            throw CleanupError(description: "weftd runs: something listens on \(path); stop it first")
        }
        let sandboxes = SandboxStore(runDirectory: runDirectory).list().compactMap(\.state)
        for sandbox in sandboxes where sandbox.isAlive { kill(sandbox.shimPID, SIGKILL) }
        let deadline = ContinuousClock.now + .seconds(10)
        while sandboxes.contains(where: \.isAlive), ContinuousClock.now < deadline { usleep(5_000) }
        try TunnelProcess.end(runDirectory: runDirectory)
        try KernelDatapath.teardown(pinDirectory: bpfDirectory)
        for path in sockets { unlink(path) }
        try FileSystem.removeTree(runDirectory)
    }

    /// The paths of unix sockets that take connections in this network namespace.
    private static func listening() throws -> Set<String> {
        let acceptsConnections = "00010000"
        let lines = try FileSystem.readText("/proc/net/unix").split(separator: "\n").dropFirst()
        return Set(
            lines.compactMap { line in
                let fields = line.split(separator: " ", maxSplits: 7)
                return fields.count == 8 && fields[3] == acceptsConnections ? String(fields[7]) : nil
            })
    }
}

struct CleanupError: Error, CustomStringConvertible {
    let description: String
}
