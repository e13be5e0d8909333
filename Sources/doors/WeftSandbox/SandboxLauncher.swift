import CSandbox
import Glibc
import WeftLinux
import WeftSandboxWire
import WeftText

/// Starts supervisors.
package enum SandboxLauncher {
    /// Makes a sandbox's namespaces under a supervisor of its own, and returns once they exist. The process
    /// waits for `SandboxControl.start`. Blocks for a few milliseconds; safe in a process with many threads.
    ///
    /// - Parameters:
    ///   - spec: what to run; its directory was made by `SandboxStore.create`.
    ///   - shimExecutable: the path of weft-shim.
    ///   - descriptors: how many descriptors the sandbox's processes may have open; nil: as many as this process.
    /// - Returns: the first process's pid and the path of its network namespace.
    package static func launch(
        spec: SandboxSpec, directory: SandboxDirectory, shimExecutable: String, descriptors: Int? = nil
    ) throws -> (pid: Int32, netnsPath: String) {
        if let problem = spec.problem { throw SandboxError.invalidSpec(problem) }
        if let rootfs = spec.rootfs, access(rootfs, X_OK) != 0 {
            throw SandboxError.system("cannot use the root file system \(rootfs)", errno: errno)
        }
        var confinement = spec.confinement ?? Confinement()
        if let resources = spec.resources { confinement.controlGroups += try ResourceGroups.make(spec.id, resources) }
        var pair: [Int32] = [-1, -1]
        let made = csb_socketpair(&pair)
        guard made == 0 else { throw SandboxError.system("cannot make a socket pair", errno: -made) }
        let connection = SandboxConnection(fd: pair[0], sandbox: spec.id, limit: .seconds(30))
        let spawned = withCStrings([shimExecutable, spec.id]) { arguments in
            withCStrings(["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + (descriptors.map { ["WEFT_DESCRIPTORS=\($0)"] } ?? [])) { environment in
                csb_spawn(shimExecutable, arguments, environment, pair[1])
            }
        }
        close(pair[1])
        guard spawned == 0 else { throw SandboxError.system("cannot start \(shimExecutable)", errno: -spawned) }
        let process = ProcessRequest(
            command: spec.command, environment: spec.completeEnvironment(),
            workingDirectory: spec.workingDirectory ?? "/", terminal: spec.terminal, openInput: spec.openStdin)
        try connection.send(
            .launch(
                LaunchRequest(
                    directory: directory.path, hostname: spec.hostname, rootfs: spec.rootfs ?? "", process: process,
                    mounts: spec.placedMounts, confinement: confinement, sysctls: spec.sysctlFiles,
                    isReadOnly: spec.isReadOnly ?? false, hasInit: spec.hasInit ?? false)))
        switch try connection.receive() {
        case .created(let pid): return (pid, "/proc/\(pid)/ns/net")
        case .failed(let code, let reason): throw SandboxError.refused(code: code, reason: reason)
        default: throw SandboxError.connectionLost
        }
    }
}
