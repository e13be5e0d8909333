internal import CLinux
internal import Glibc

/// Files, as a daemon needs them. All paths are used as given; nothing here follows the working directory on purpose.
package enum FileSystem {
    /// Reads a file whole, `/proc` files too.
    package static func read(_ path: String) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        return try file.readToEnd("read \(path)")
    }

    /// Reads a file whole; nil when there is none.
    package static func contents(_ path: String) throws(SystemError) -> [UInt8]? {
        do { return try read(path) } catch  where error.code == ENOENT { return nil }
    }

    /// Reads a file as UTF-8, repairing what is not.
    package static func readText(_ path: String) throws(SystemError) -> String {
        String(decoding: try read(path), as: UTF8.self)
    }

    /// Where a symbolic link points.
    package static func readLink(_ path: String) throws(SystemError) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        guard count >= 0 else { throw .last("read the link \(path)") }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Replaces or creates a file so that a reader has the old content or the new, never a part; the disk after the host's crash
    /// too, if it `survives` that.
    package static func writeAtomically(
        _ bytes: some Collection<UInt8>, to path: String, mode: UInt32 = 0o600, survives: Survival = .host
    ) throws(SystemError) {
        let temporary = path + unfinished
        // What a crash left may have another mode or owner.
        unlink(temporary)
        do throws(SystemError) {
            let file = try OwnedDescriptor(opening: temporary, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode)
            guard fchmod(file.rawValue, mode) == 0 else { throw SystemError.last("set the mode of \(temporary)") }
            try file.writeAll(bytes, "write \(temporary)")
            if survives == .host, fsync(file.rawValue) != 0 { throw SystemError.last("sync \(temporary)") }
            guard rename(temporary, path) == 0 else { throw SystemError.last("rename \(temporary) to \(path)") }
        } catch {
            unlink(temporary)
            throw error
        }
        guard survives == .host else { return }
        let folder = try OwnedDescriptor(opening: parent(of: path), flags: O_RDONLY | O_DIRECTORY)
        guard fsync(folder.rawValue) == 0 else { throw .last("sync \(parent(of: path))") }
    }

    private static let unfinished = ".new"

    /// Whether a file of this name is what a crash left of `writeAtomically`.
    package static func isUnfinished(_ name: String) -> Bool { name.hasSuffix(unfinished) }

    /// The bytes of a file; nil when it is not there.
    package static func size(_ path: String) throws(SystemError) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT { return nil }
            throw .last("inspect \(path)")
        }
        return Int(status.st_size)
    }

    /// Moves a file that is of no use out of the way, under a name that says so, over one that was moved before; nothing there is fine.
    package static func setAside(_ path: String) throws(SystemError) {
        let aside = "\(path).unreadable"
        try removeTree(aside)
        guard rename(path, aside) == 0 || errno == ENOENT else { throw .last("rename \(path) to \(aside)") }
    }

    /// Makes a directory and those above it. One that exists keeps its mode.
    package static func makeDirectory(_ path: String, mode: UInt32 = 0o755) throws(SystemError) {
        guard mkdir(path, mode) != 0 else { return }
        switch errno {
        case EEXIST:
            guard isDirectory(path) else { throw SystemError("make directory \(path)", code: EEXIST) }
        case ENOENT where parent(of: path) != path:
            try makeDirectory(parent(of: path), mode: mode)
            guard mkdir(path, mode) == 0 || errno == EEXIST else { throw .last("make directory \(path)") }
        default: throw .last("make directory \(path)")
        }
    }

    /// Removes a file, a link, or a directory with all in it, without following links; nothing there is fine.
    package static func removeTree(_ path: String) throws(SystemError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw .last("inspect \(path)")
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in try list(path) { try removeTree("\(path)/\(name)") }
            guard rmdir(path) == 0 || errno == ENOENT else { throw .last("remove directory \(path)") }
        } else {
            guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove \(path)") }
        }
    }

    /// The names in a directory, sorted, without `.` and `..`.
    package static func list(_ path: String) throws(SystemError) -> [String] {
        guard let directory = opendir(path) else { throw .last("list \(path)") }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: tuple.pointee)) {
                    String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
