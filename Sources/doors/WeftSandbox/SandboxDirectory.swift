import FoundationEssentials
import Glibc
import WeftJSON
import WeftLinux

/// The paths of a sandbox's directory, and the files in it that appear inside the sandbox.
package struct SandboxDirectory: Equatable, Sendable {
    package let path: String

    package init(path: String) { self.path = path }

    package var specFile: String { "\(path)/spec.json" }
    package var stateFile: String { "\(path)/state.json" }
    package var logFile: String { "\(path)/output.log" }
    package var socket: String { "\(path)/shim.sock" }
    package var hostsFile: String { "\(path)/hosts" }
    package var resolverFile: String { "\(path)/resolv.conf" }
    package var hostnameFile: String { "\(path)/hostname" }

    private var healthFile: String { "\(path)/health" }

    /// What health checks have last shown; nil: nothing yet.
    package var isHealthy: Bool? {
        guard let bytes = Self.contents(of: healthFile) else { return nil }
        return bytes == Self.healthy
    }

    package func note(isHealthy: Bool) throws {
        try FileSystem.writeAtomically(isHealthy ? Self.healthy : Array("unhealthy".utf8), to: healthFile, survives: .process)
    }

    private static let healthy = Array("healthy".utf8)

    /// Writes the sandbox's /etc/hosts. Works on a running sandbox too: it sees the change.
    package func writeHosts(_ entries: [SandboxSpec.HostsEntry]) throws {
        var text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        for entry in entries { text += "\(entry.address)\t\(entry.names.joined(separator: " "))\n" }
        try Self.overwrite(hostsFile, with: text)
    }

    /// Writes the sandbox's /etc/resolv.conf. Works on a running sandbox too.
    package func writeResolver(_ resolver: SandboxSpec.Resolver) throws {
        var text = ""
        for address in resolver.addresses { text += "nameserver \(address)\n" }
        if !resolver.search.isEmpty { text += "search \(resolver.search.joined(separator: " "))\n" }
        if !resolver.options.isEmpty { text += "options \(resolver.options.joined(separator: " "))\n" }
        try Self.overwrite(resolverFile, with: text)
    }

    func writeHostname(_ hostname: String) throws { try Self.overwrite(hostnameFile, with: hostname + "\n") }

    /// Changes a file's content in place: it is bind-mounted into the sandbox, which would keep seeing the old
    /// one if a new file took its place. One write and then a cut, so that a reader hardly ever sees a mixture.
    private static func overwrite(_ path: String, with text: String) throws {
        let fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw SandboxError.system("cannot open \(path)", errno: errno) }
        defer { close(fd) }
        let bytes = Array(text.utf8)
        guard write(fd, bytes, bytes.count) == bytes.count, ftruncate(fd, off_t(bytes.count)) == 0 else {
            throw SandboxError.system("cannot write \(path)", errno: errno)
        }
    }

    /// Replaces a file of the host's side as a whole. It need not outlive the host, with which the sandbox ends.
    func replace<Value: Encodable>(_ file: String, with value: Value) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let bytes = [UInt8](try encoder.encode(value))
        try FileSystem.writeAtomically(bytes, to: file, survives: .process)
    }

    func read<Value: Decodable>(_ type: Value.Type, from file: String) -> Value? {
        guard let bytes = Self.contents(of: file) else { return nil }
        return try? JSONText.decode(type, from: bytes)
    }

    static func contents(of file: String) -> [UInt8]? {
        let fd = open(file, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(fd, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? result : nil }
            result += buffer[..<count]
        }
    }

    /// Whether the directory's files make a sandbox, and how it does.
    package func load() -> (spec: SandboxSpec, state: SandboxState?)? {
        guard let spec = read(SandboxSpec.self, from: specFile) else { return nil }
        return (spec, state())
    }

    /// How the sandbox does; nil when no supervisor has ever got as far as to say so.
    package func state() -> SandboxState? { read(SandboxState.self, from: stateFile)?.corrected() }
}
