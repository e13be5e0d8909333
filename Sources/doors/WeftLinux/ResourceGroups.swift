internal import Glibc

/// What processes of one control group may use together; nil: as much as there is.
package struct ResourceLimits: Hashable, Sendable, Codable {
    /// Thousand millions are one processor.
    package var nanoCPUs: Int64?
    package var memoryBytes: Int64?
    package var processes: Int64?

    package init(nanoCPUs: Int64? = nil, memoryBytes: Int64? = nil, processes: Int64? = nil) {
        self.nanoCPUs = nanoCPUs
        self.memoryBytes = memoryBytes
        self.processes = processes
    }
}

/// Control groups below `weft`, of version 1 or 2, whichever has the controller on this host.
package enum ResourceGroups {
    private static let parent = "weft"

    /// A controller that this host does not have.
    package struct Missing: Error, Hashable, CustomStringConvertible {
        package let controller: String
        package var description: String { "this host has no control groups for \(controller), so that it cannot be limited" }
    }

    /// A file of a group, as version 1 has it and as version 2 does, each with what it is to hold.
    private struct File {
        let former: (name: String, value: String)
        let unified: (name: String, value: String)
        /// Kernels without swap accounting have none.
        var mayLack = false
    }

    private struct Setting {
        let controller: String
        let files: [File]
    }

    /// Where the controllers are mounted, by the lines of a mountinfo file (proc_pid_mountinfo(5)).
    package static func version1(in mountinfo: String) -> [String: String] {
        var found: [String: String] = [:]
        for line in mountinfo.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 4, let dash = fields.firstIndex(of: "-"), dash + 3 < fields.count, fields[dash + 1] == "cgroup" else {
                continue
            }
            for option in fields[dash + 3].split(separator: ",") where found[String(option)] == nil {
                found[String(option)] = String(fields[4])
            }
        }
        return found
    }

    /// Makes the group with its limits. The files by which a process joins it: none where nothing is limited.
    package static func make(_ name: String, _ limits: ResourceLimits) throws -> [String] {
        let mountinfo = try FileSystem.readText("/proc/self/mountinfo")
        let (former, unified) = (version1(in: mountinfo), ControlGroups.mountPoints(in: mountinfo).first)
        var directories: [String] = []
        for setting in settings(limits) {
            let directory: String
            if let mount = former[setting.controller] {
                directory = "\(mount)/\(parent)/\(name)"
                try FileSystem.makeDirectory(directory)
            } else if let unified, try has(unified, setting.controller) {
                directory = try makeUnified(unified, name, setting.controller)
            } else {
                throw Missing(controller: setting.controller)
            }
            try write(setting, to: directory, isFormer: former[setting.controller] != nil)
            if !directories.contains(directory) { directories.append(directory) }
        }
        return directories.map { "\($0)/cgroup.procs" }
    }

    /// Takes it away wherever it is; nothing there is fine. False: a process of it is on its way out still.
    @discardableResult
    package static func remove(_ name: String) throws -> Bool {
        let mountinfo = try FileSystem.readText("/proc/self/mountinfo")
        let mounts = Set(version1(in: mountinfo).values).union(ControlGroups.mountPoints(in: mountinfo))
        var isGone = true
        for mount in mounts.sorted() where rmdir("\(mount)/\(parent)/\(name)") != 0 && errno == EBUSY { isGone = false }
        return isGone
    }

    private static func has(_ unified: String, _ controller: String) throws -> Bool {
        try FileSystem.readText("\(unified)/cgroup.controllers").split(whereSeparator: \.isWhitespace).contains(controller[...])
    }

    /// A group of version 2 has a controller that each group above it hands on.
    private static func makeUnified(_ unified: String, _ name: String, _ controller: String) throws -> String {
        try FileSystem.makeDirectory("\(unified)/\(parent)")
        for group in [unified, "\(unified)/\(parent)"] { try set("\(group)/cgroup.subtree_control", "+\(controller)") }
        let directory = "\(unified)/\(parent)/\(name)"
        try FileSystem.makeDirectory(directory)
        return directory
    }

    private static func write(_ setting: Setting, to directory: String, isFormer: Bool) throws {
        for file in setting.files {
            let (name, value) = isFormer ? file.former : file.unified
            if file.mayLack, !FileSystem.exists("\(directory)/\(name)") { continue }
            try set("\(directory)/\(name)", value)
        }
    }

    private static func set(_ path: String, _ value: String) throws {
        let file = try OwnedDescriptor(opening: path, flags: O_WRONLY)
        try file.writeAll(Array(value.utf8), "set \(path) to \(value)")
    }

    private static func settings(_ limits: ResourceLimits) -> [Setting] {
        var settings: [Setting] = []
        if let memory = limits.memoryBytes { settings.append(Self.memory(memory)) }
        if let nanoCPUs = limits.nanoCPUs { settings.append(cpu(nanoCPUs)) }
        if let processes = limits.processes {
            let value = String(processes)
            settings.append(Setting(controller: "pids", files: [File(former: ("pids.max", value), unified: ("pids.max", value))]))
        }
        return settings
    }

    /// As with engines, which allow as much swap as memory where nothing is said of it.
    private static func memory(_ bytes: Int64) -> Setting {
        let value = String(bytes)
        let swap = File(
            former: ("memory.memsw.limit_in_bytes", String(bytes.multipliedReportingOverflow(by: 2).partialValue)),
            unified: ("memory.swap.max", value), mayLack: true)
        return Setting(controller: "memory", files: [File(former: ("memory.limit_in_bytes", value), unified: ("memory.max", value)), swap])
    }

    private static func cpu(_ nanoCPUs: Int64) -> Setting {
        // The kernel knows no share below a thousandth of a second.
        let period: Int64 = nanoCPUs < 10_000_000 ? 1_000_000 : 100_000
        let quota = max(1000, nanoCPUs / 1_000_000 * (period / 1000))
        let both = ("cpu.max", "\(quota) \(period)")
        return Setting(
            controller: "cpu",
            files: [
                File(former: ("cpu.cfs_period_us", String(period)), unified: both),
                File(former: ("cpu.cfs_quota_us", String(quota)), unified: both),
            ])
    }
}
