import CSandbox
import Glibc

/// The sandboxes of one weftd: the directories under `<run directory>/sandboxes`.
///
/// The directories are the only record; a weftd that starts finds in them what runs.
package struct SandboxStore: Sendable {
    package struct Entry: Equatable, Sendable {
        package var directory: SandboxDirectory
        package var spec: SandboxSpec
        package var state: SandboxState?
    }

    package let path: String

    /// - Parameter runDirectory: weftd's run directory, such as /run/weft.
    package init(runDirectory: String) { path = "\(runDirectory)/sandboxes" }

    package func directory(_ id: String) -> SandboxDirectory { SandboxDirectory(path: "\(path)/\(id)") }

    /// All sandboxes, oldest first.
    package func list() -> [Entry] {
        guard let handle = opendir(path) else { return [] }
        defer { closedir(handle) }
        var entries: [Entry] = []
        while let item = readdir(handle) {
            let name = withUnsafeBytes(of: &item.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard !name.hasPrefix("."), let entry = load(id: name) else { continue }
            entries.append(entry)
        }
        return entries.sorted { ($0.state?.createdAt ?? 0, $0.spec.id) < ($1.state?.createdAt ?? 0, $1.spec.id) }
    }

    /// The sandbox with exactly this id.
    package func load(id: String) -> Entry? {
        let directory = directory(id)
        guard let (spec, state) = directory.load(), spec.id == id else { return nil }
        return Entry(directory: directory, spec: spec, state: state)
    }

    /// The sandbox that a user means by its name, its id, or the beginning of its id.
    package func find(_ reference: String) throws(SandboxError) -> Entry {
        let all = list()
        if let exact = all.first(where: { $0.spec.name == reference || $0.spec.id == reference }) { return exact }
        let candidates = reference.isEmpty ? [] : all.filter { $0.spec.id.hasPrefix(reference) }
        guard candidates.count < 2 else { throw .ambiguous(reference) }
        guard let only = candidates.first else { throw .notFound(reference) }
        return only
    }

    /// Makes a sandbox's directory with its files. The caller serializes calls, and knows that the name is free when
    /// it says so; otherwise all sandboxes are read to find out.
    package func create(_ spec: SandboxSpec, nameIsFree: Bool = false) throws -> SandboxDirectory {
        if let problem = spec.problem { throw SandboxError.invalidSpec(problem) }
        if !nameIsFree, list().contains(where: { $0.spec.name.lowercased() == spec.name.lowercased() }) { throw SandboxError.nameTaken(spec.name) }
        let directory = directory(spec.id)
        for path in [path, directory.path] where mkdir(path, 0o711) != 0 && errno != EEXIST {
            throw SandboxError.system("cannot make the directory \(path)", errno: errno)
        }
        try directory.writeHosts(spec.hosts)
        try directory.writeResolver(spec.resolver)
        try directory.writeHostname(spec.hostname)
        try directory.replace(directory.specFile, with: spec)
        return directory
    }

    /// Writes a spec that has changed (its name, its networks as shown).
    package func update(_ spec: SandboxSpec) throws {
        let directory = directory(spec.id)
        try directory.replace(directory.specFile, with: spec)
    }

    /// Removes the directory of a sandbox that has ended, or was never launched. Gone already is success.
    package func remove(id: String) throws(SandboxError) {
        let directory = directory(id)
        if directory.state()?.isAlive == true { throw .stillRunning(id) }
        // The spec first: what is left when this is interrupted is no sandbox any more.
        for name in [
            "spec.json", "state.json", "output.log", "output.log.1", "shim.sock", "hosts", "resolv.conf", "hostname",
            "spec.json.new", "state.json.new",
        ] {
            unlink("\(directory.path)/\(name)")
        }
        guard rmdir(directory.path) == 0 || errno == ENOENT else {
            throw .system("cannot remove \(directory.path)", errno: errno)
        }
    }
}
