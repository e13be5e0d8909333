import CSandbox
import Glibc
import WeftSandboxWire
import WeftText

/// Something the supervisor could not do.
struct SupervisorError: Error, CustomStringConvertible {
    let description: String

    init(_ what: String, _ code: Int32) {
        description = code == 0 ? what : "\(what): \(String(cString: strerror(code)))"
    }
}

/// Nanoseconds since 1970.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Reads once. No bytes and no end: there is nothing at the moment.
func readSome(_ fd: Int32) -> (bytes: [UInt8]?, isEnd: Bool) {
    while true {
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 32 << 10) { space, used in
            count = read(fd, space.baseAddress, space.count)
            used = max(count, 0)
        }
        if count > 0 { return (bytes, false) }
        if count == 0 { return (nil, true) }
        // EIO: the other side of a terminal is closed.
        if errno != EINTR { return (nil, errno != EAGAIN) }
    }
}

/// Sends everything over a blocking socket.
func sendAll(_ fd: Int32, _ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { csb_send(fd, $0.baseAddress, $0.count) }
        if count == -Int(EINTR) { continue }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
    }
    return true
}

/// Empties a signal descriptor: several SIGCHLD may be one.
func clearSignals(_ fd: Int32) {
    while readSome(fd).bytes != nil {}
}

extension ProcessRequest {
    func withProcess<Result>(
        stdio: (Int32, Int32, Int32), confinement: Confinement, hasInit: Bool = false, _ body: (UnsafePointer<csb_process>) -> Result
    ) -> Result {
        withCStrings(command) { argv in
            withCStrings(environment) { envp in
                workingDirectory.withCString { directory in
                    confinement.withConfinement { confinement in
                        var process = csb_process()
                        process.argv = argv
                        process.envp = envp
                        process.working_directory = directory
                        process.terminal = terminal
                        process.stdio = stdio
                        process.rows = size.rows
                        process.columns = size.columns
                        process.confinement = confinement
                        process.`init` = hasInit
                        return body(&process)
                    }
                }
            }
        }
    }
}

extension Confinement {
    fileprivate func withConfinement<Result>(_ body: (UnsafePointer<csb_confinement>) -> Result) -> Result {
        withCStrings(groups) { groups in
            withCStrings(controlGroups) { paths in
                withCStrings([user] + limits.map(\.name)) { texts in
                    let limits = limits.enumerated().map { index, limit in
                        csb_limit(
                            resource: Int32(bitPattern: limit.resource), soft: limit.soft, hard: limit.hard,
                            name: UnsafePointer(texts[index + 1]))
                    }
                    return limits.withUnsafeBufferPointer { limits in
                        var confinement = csb_confinement()
                        confinement.user = UnsafePointer(texts[0])
                        confinement.groups = groups
                        confinement.capabilities = capabilities
                        confinement.no_new_privileges = noNewPrivileges
                        confinement.oom_score_adj = oomScoreAdjustment
                        confinement.limits = limits.baseAddress
                        confinement.limit_count = limits.count
                        confinement.cgroups = paths
                        return body(&confinement)
                    }
                }
            }
        }
    }
}

extension LaunchRequest {
    func withLayout<Result>(_ body: (UnsafePointer<csb_layout>) -> Result) -> Result {
        let texts = [hostname, rootfs, "\(directory)/hosts", "\(directory)/resolv.conf", "\(directory)/hostname", directory]
        return withCStrings(texts) { pointers in
            withCStrings(sysctls) { sysctls in
                withMounts { mounts in
                    var layout = csb_layout()
                    layout.hostname = UnsafePointer(pointers[0])
                    layout.rootfs = rootfs.isEmpty ? nil : UnsafePointer(pointers[1])
                    layout.hosts = UnsafePointer(pointers[2])
                    layout.resolv_conf = UnsafePointer(pointers[3])
                    layout.hostname_file = UnsafePointer(pointers[4])
                    layout.directory = UnsafePointer(pointers[5])
                    layout.mounts = mounts.baseAddress
                    layout.mount_count = mounts.count
                    layout.sysctls = sysctls
                    layout.read_only = isReadOnly
                    return body(&layout)
                }
            }
        }
    }

    private func withMounts<Result>(_ body: (UnsafeBufferPointer<csb_mount>) -> Result) -> Result {
        withCStrings(mounts.flatMap { [$0.source ?? "", $0.target, $0.options] }) { texts in
            let mounts = mounts.enumerated().map { index, mount in
                csb_mount(
                    source: mount.source == nil ? nil : UnsafePointer(texts[3 * index]), target: UnsafePointer(texts[3 * index + 1]),
                    options: UnsafePointer(texts[3 * index + 2]), read_only: mount.isReadOnly, recursive: mount.isRecursive,
                    make_source: mount.makesSource, slave: mount.followsHost)
            }
            return mounts.withUnsafeBufferPointer(body)
        }
    }
}

extension csb_outcome {
    var reason: String {
        withUnsafeBytes(of: text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
