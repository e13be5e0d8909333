import CBPF
import Glibc

/// Where one weftd keeps its maps and links, so that traffic goes on without it: a directory on a BPF file system.
package struct PinDirectory: Sendable {
    package static let standardPath = "/sys/fs/bpf/weft"
    private static let fileSystemPath = "/sys/fs/bpf"

    let path: String

    /// Makes the directory if need be. Fails when it would not lie on a BPF file system.
    package init(path: String) throws(BPFError) {
        self.path = path
        // The nearest ancestor that exists tells the file system.
        var existing = path
        while access(existing, F_OK) != 0, let slash = existing.lastIndex(of: "/"), slash > existing.startIndex {
            existing = String(existing[..<slash])
        }
        guard try call("look at \(existing)", { cbpf_is_bpffs(existing) }) == 1 else {
            throw BPFError(
                operation: "keep BPF objects in \(path), which is not on a BPF file system (mount one: "
                    + "mount -t bpf bpf \(Self.fileSystemPath))", errno: ENOTSUP)
        }
        for directory in Self.ancestors(of: path).filter({ $0.count > existing.count }) + [maps, links] {
            try call("make directory \(directory)") { mkdir(directory, 0o700) == 0 || errno == EEXIST ? 0 : -errno }
        }
    }

    /// "/a/b" gives "/a" and "/a/b".
    private static func ancestors(of path: String) -> [String] {
        path.split(separator: "/").reduce(into: []) { $0.append(($0.last ?? "") + "/" + $1) }
    }

    var maps: String { path + "/maps" }
    var links: String { path + "/links" }

    func map(_ name: String) -> String { maps + "/" + name }
    func link(_ name: String) -> String { links + "/" + name }

    /// Puts a map or link under a name, in the place of whatever had it.
    func pin(_ descriptor: Int32, at path: String) throws(BPFError) {
        try remove(path)
        try call("pin \(path)") { cbpf_pin(descriptor, path) }
    }

    /// Takes a name away. A link without name and descriptor detaches.
    func remove(_ path: String) throws(BPFError) {
        try call("remove \(path)") { unlink(path) == 0 || errno == ENOENT ? 0 : -errno }
    }

    /// The names of the pinned links, sorted.
    func linkNames() throws(BPFError) -> [String] { try names(in: links) }

    private func names(in path: String) throws(BPFError) -> [String] {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return [] }
            throw BPFError(operation: "list \(path)", errno: errno)
        }
        defer { closedir(directory) }
        var found: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { found.append(name) }
        }
        return found.sorted()
    }

    /// Removes every pin and the directory. Everything that nobody else holds detaches.
    package func removeAll() throws(BPFError) {
        for name in try names(in: links) { try remove(link(name)) }
        for name in try names(in: maps) { try remove(map(name)) }
        for directory in [maps, links, path] {
            try call("remove \(directory)") { rmdir(directory) == 0 || errno == ENOENT ? 0 : -errno }
        }
    }

    /// Mounts a BPF file system at /sys/fs/bpf unless there is one. Returns whether it mounted one.
    package static func mountFileSystemIfAbsent() throws(BPFError) -> Bool {
        let path = fileSystemPath
        guard try call("look at \(path)", { cbpf_is_bpffs(path) }) == 0 else { return false }
        try call("mount a BPF file system at \(path)") { cbpf_mount_bpffs(path) }
        return true
    }
}
