import CLab
import CSandbox
import Glibc
import WeftLinux
import WeftSandbox

extension Lab {
    /// Ends everything on the hosts and removes them, and whatever is left of them after a crash half way.
    /// Nothing there is fine.
    ///
    /// - Returns: what could not be removed, in sentences; empty is success.
    package func down() throws(LabError) -> [String] {
        guard getuid() == 0 else { throw .notRoot }
        let names = (try? FileSystem.list("/run/netns")) ?? []
        let networks = names.filter { $0 == name || ($0.hasPrefix("\(name)-") && Int($0.dropFirst(name.utf8.count + 1)) != nil) }
            .map { "/run/netns/\($0)" }
        let hosts = hosts()
        var problems: [String] = []

        // Processes first: mounts and namespaces live as long as these. Sandboxes and containers have namespaces of
        // their own; those end with their supervisors, which are in the host's, and these are found by their cgroup.
        let sandboxes = hosts.flatMap(\.sandboxes)
        let namespaces = Set((networks + hosts.flatMap { [$0.mounts, $0.uts] }).compactMap { Self.namespace(at: $0) })
        if Self.namespaces(of: "self").contains(where: namespaces.contains) { throw .insideLab }
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            let left = Self.processes(in: namespaces) + cgroups().flatMap { Self.members(of: $0) }
            for pid in left { _ = csb_kill(pid, SIGKILL) }
            if left.isEmpty && !sandboxes.contains(where: { csb_start_time($0.pid) == $0.processStartTime }) { break }
            if ContinuousClock.now > deadline {
                problems.append("processes that do not end: \(left.map(String.init).joined(separator: " "))")
                break
            }
            usleep(2_000)
        }

        func attempt(_ what: String, _ body: () throws -> Void) {
            do { try body() } catch { problems.append("\(what): \(error)") }
        }
        for path in cgroups() { attempt("remove \(path)") { try Self.removeGroup(path) } }
        for path in hosts.flatMap({ [$0.mounts, $0.uts] }) + networks {
            attempt("remove \(path)") {
                try check(clab_unmount(path), "unmount \(path)")
                unlink(path)
            }
        }
        let lines = ((try? FileSystem.readText(record)) ?? "").split(separator: "\n").map(String.init)
        attempt("remove \(directory)") {
            try check(clab_unmount(directory), "unmount \(directory)")
            try FileSystem.removeTree(directory)
        }
        attempt("remove \(storage)") { try FileSystem.removeTree(storage) }
        if problems.isEmpty, !Self.anotherExists { for line in lines { Self.undo(line) } }
        return problems
    }

    /// What a lab made outside its directory serves all labs, and whoever came to use it since.
    private static func undo(_ line: String) {
        let path = String(line.drop { $0 != " " }.dropFirst())
        if line.hasPrefix("rmdir ") {
            // Only when empty.
            rmdir(path)
        } else if line.hasPrefix("rmempty "), (try? FileSystem.read(path))?.isEmpty == true {
            // A socket that came there since cannot be read.
            unlink(path)
        } else if line.hasPrefix("umount "), (try? FileSystem.list(path))?.isEmpty == true {
            _ = clab_unmount(path)
        }
    }

    /// The engines' cgroup in every hierarchy that has it.
    private func cgroups() -> [String] {
        let mounts = ((try? FileSystem.readText("/proc/self/mountinfo")) ?? "").split(separator: "\n")
        return mounts.compactMap { line in
            let fields = line.split(separator: " ")
            guard line.contains(" - cgroup"), fields.count > 4, FileSystem.isDirectory("\(fields[4])/\(name)") else { return nil }
            return "\(fields[4])/\(name)"
        }
    }

    private static func subgroups(of group: String) -> [String] {
        ((try? FileSystem.list(group)) ?? []).map { "\(group)/\($0)" }.filter { FileSystem.isDirectory($0) }
    }

    private static func members(of group: String) -> [Int32] {
        let text = (try? FileSystem.readText("\(group)/cgroup.procs")) ?? ""
        return text.split(separator: "\n").compactMap { Int32($0) } + subgroups(of: group).flatMap { members(of: $0) }
    }

    private static func removeGroup(_ group: String) throws(SystemError) {
        for inner in subgroups(of: group) { try removeGroup(inner) }
        // A group is busy until its last process has been reaped.
        for _ in 0..<200 {
            if rmdir(group) == 0 || errno == ENOENT { return }
            guard errno == EBUSY else { break }
            usleep(10_000)
        }
        throw .last("remove the cgroup \(group)")
    }

    private static var anotherExists: Bool {
        let names = (try? FileSystem.list("/run")) ?? []
        return names.contains { FileSystem.exists("/run/\($0)/\(marker)") }
    }

    private static func namespace(at path: String) -> UInt64? {
        let number = clab_namespace(path)
        return number == 0 ? nil : number
    }

    private static func namespaces(of process: String) -> [UInt64] {
        ["net", "mnt", "uts"].compactMap { namespace(at: "/proc/\(process)/ns/\($0)") }
    }

    private static func processes(in namespaces: Set<UInt64>) -> [Int32] {
        guard !namespaces.isEmpty else { return [] }
        return ((try? FileSystem.list("/proc")) ?? []).compactMap { Int32($0) }.filter { pid in
            csb_start_time(pid) != 0 && Self.namespaces(of: "\(pid)").contains(where: namespaces.contains)
        }
    }
}
