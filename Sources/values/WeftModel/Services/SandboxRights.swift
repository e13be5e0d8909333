/// What processes of a sandbox may do, as the Engine API names it, and as the kernel numbers it.
package enum SandboxRights {
    private static let capabilities = [
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
        "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
        "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
        "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    ]

    /// A bit for each that is meant, as of capabilities(7); nil: there is no such capability.
    package static func capability(_ text: String) -> UInt64? {
        var name = text.uppercased()
        if name == "ALL" { return 1 << UInt64(capabilities.count) - 1 }
        if name.hasPrefix("CAP_") { name.removeFirst(4) }
        return capabilities.firstIndex(of: name).map { 1 << UInt64($0) }
    }

    /// What is left of the usual ones, or is besides them. What is named on its own counts more than `ALL`, as with Docker.
    package static func capabilities(usual: UInt64, adding added: [String], dropping dropped: [String]) -> UInt64 {
        func set(_ names: [String]) -> UInt64 {
            names.filter { $0.uppercased() != "ALL" }.compactMap(capability).reduce(0, |)
        }
        func isAll(_ names: [String]) -> Bool { names.contains { $0.uppercased() == "ALL" } }
        let all = capability("ALL") ?? 0
        if isAll(added) { return all & ~set(dropped) }
        return (isAll(dropped) ? 0 : usual & ~set(dropped)) | set(added)
    }

    /// The kernel's number of a limit (setrlimit(2), on x86-64 and arm64); nil: there is no such limit.
    package static func limit(_ name: String) -> UInt32? { limits[name.lowercased()] }

    private static let limits: [String: UInt32] = [
        "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8, "as": 9, "locks": 10,
        "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
    ]

    /// Whether a setting belongs to the namespaces that a sandbox has of its own.
    package static func isOwn(sysctl name: String) -> Bool {
        guard name.utf8.allSatisfy({ $0 > 0x20 && $0 != UInt8(ascii: "/") }), !name.hasSuffix("."), !name.contains("..") else {
            return false
        }
        return ["net.", "fs.mqueue."].contains(where: name.hasPrefix) || ownSysctls.contains(name)
    }

    private static let ownSysctls: Set = [
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
        "kernel.shm_rmid_forced", "kernel.domainname",
    ]
}
