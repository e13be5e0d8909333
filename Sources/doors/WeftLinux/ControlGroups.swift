internal import Glibc

/// Control groups of version 2, wherever they are mounted: alone, or beside version 1.
package enum ControlGroups {
    /// Why the root of all groups is not to be had.
    package enum Absence: Error, Hashable, CustomStringConvertible {
        case notMounted
        case hidden(String)

        package var description: String {
            switch self {
            case .notMounted: "no cgroup2 is mounted on this host (mount -t cgroup2 none DIRECTORY)"
            case .hidden(let path): "\(path) is not the root of cgroup2, but a group in it: weftd runs in a cgroup namespace of its own"
            }
        }
    }

    /// The directory of the group that all processes of the machine are in or below.
    package static func root() throws -> String {
        let mounts = mountPoints(in: try FileSystem.readText("/proc/self/mountinfo"))
        guard let first = mounts.first else { throw Absence.notMounted }
        guard let root = mounts.first(where: { inode(of: $0) == rootInode }) else { throw Absence.hidden(first) }
        return root
    }

    /// The root's number in kernfs.
    private static let rootInode: ino_t = 1

    private static func inode(of path: String) -> ino_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_ino : nil
    }

    /// Where cgroup2 is mounted, by the lines of a mountinfo file (proc_pid_mountinfo(5)).
    package static func mountPoints(in mountinfo: String) -> [String] {
        mountinfo.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 4, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count, fields[dash + 1] == "cgroup2"
            else { return nil }
            return unescaped(fields[4])
        }
    }

    /// Blanks and the like are written as three octal digits: "\040".
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3, let value = UInt8(String(Substring(rest.prefix(3))), radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
