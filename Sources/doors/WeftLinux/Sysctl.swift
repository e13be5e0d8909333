internal import Glibc

/// Kernel settings under /proc/sys. Those of the network belong to the namespace they are read or written in.
package struct Sysctl: Sendable {
    package let namespace: NetworkNamespace
    package init(in namespace: NetworkNamespace = .current) { self.namespace = namespace }

    /// Reads a setting such as `net.ipv4.ip_forward`, without the line end.
    package func read(_ name: String) throws -> String {
        let path = try Self.path(name)
        return try namespace.run {
            String(try FileSystem.readText(path).prefix { $0 != "\n" })
        }
    }

    /// Writes a setting.
    package func write(_ name: String, _ value: String) throws {
        let path = try Self.path(name)
        try namespace.run {
            let file = try OwnedDescriptor(opening: path, flags: O_WRONLY)
            try file.writeAll(Array(value.utf8), "set \(name) to \(value)")
        }
    }

    /// Dots separate; a name with a slash may have dots inside its parts (interface names do).
    private static func path(_ name: String) throws(SystemError) -> String {
        let parts = name.split(separator: name.contains("/") ? "/" : ".", omittingEmptySubsequences: false)
        guard !parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) else {
            throw SystemError("find the setting \(name)", code: EINVAL)
        }
        return "/proc/sys/" + parts.joined(separator: "/")
    }
}
