// Sandboxes as weftd and the CLI handle them: their directories, the start of their supervisors, conversations with these. All calls
// block, with limits; what happens inside is weft-shim's (`CSandbox`). A directory is the only record of its sandbox.
import CSandbox
import Glibc
import WeftLinux

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
        let entries = Self.names(in: path).filter { !$0.hasPrefix(".") }.compactMap { load(id: $0) }
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
        if !nameIsFree, list().contains(where: { $0.spec.name.lowercased() == spec.name.lowercased() }) {
            throw SandboxError.nameTaken(spec.name)
        }
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
    ///
    /// It gets a name first that is no sandbox's, in one step: whoever still writes a file into it by its path, a supervisor on
    /// its way out or a change of the spec, writes nowhere from then on instead of bringing a part of it back.
    package func remove(id: String) throws(SandboxError) {
        let directory = directory(id)
        if directory.state()?.isAlive == true { throw .stillRunning(id) }
        if directory.load()?.spec.resources != nil { try removeGroup(of: id) }
        let removed = "\(path)/\(Self.removedPrefix)\(id)"
        try discard(removed)
        guard rename(directory.path, removed) == 0 || errno == ENOENT else {
            throw .system("cannot remove \(directory.path)", errno: errno)
        }
        try discard(removed)
    }

    /// The last of its processes may take a moment to go.
    private func removeGroup(of id: String) throws(SandboxError) {
        for _ in 0..<100 {
            do { if try ResourceGroups.remove(id) { return } } catch { throw .system("cannot look for control groups", errno: EIO) }
            usleep(10_000)
        }
        throw .system("cannot remove the control group of \(id)", errno: EBUSY)
    }

    /// What interrupted removals have left.
    package func removeLeftovers() throws(SandboxError) {
        for name in Self.names(in: path) where name.hasPrefix(Self.removedPrefix) { try discard("\(path)/\(name)") }
    }

    private static let removedPrefix = ".removed-"

    /// Removes a directory of files. What was opened before the directory got its name may still appear in it.
    private func discard(_ directory: String) throws(SandboxError) {
        for _ in 0..<100 {
            if rmdir(directory) == 0 || errno == ENOENT { return }
            guard errno == ENOTEMPTY else { break }
            for name in Self.names(in: directory) { unlink("\(directory)/\(name)") }
        }
        throw .system("cannot remove \(directory)", errno: errno)
    }

    /// The names of a directory's entries; none when there is no such directory.
    private static func names(in directory: String) -> [String] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let item = readdir(handle) {
            let name = withUnsafeBytes(of: &item.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
