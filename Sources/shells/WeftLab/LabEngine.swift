import CLab
import Glibc
import WeftLinux

/// What runs containers on the lab's hosts: one of its own on each.
package enum LabEngine: String, Sendable, CaseIterable {
    /// dockerd, with the containerd that it starts.
    case docker

    /// Where docker's clients look for it.
    static let defaultSocket = "/run/docker.sock"
    /// What it is made to start from, so that the machine's /etc/docker says nothing to it.
    static let settings = "/run/docker/daemon.json"

    fileprivate static func executable(_ name: String) -> String {
        let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"]
        return folders.map { "\($0)/\(name)" }.first { FileSystem.exists($0) } ?? "/usr/bin/\(name)"
    }
}

extension LabHost {
    /// The host's container engine, if the lab has any.
    package var engine: LabProcess? {
        guard lab.engine != nil else { return nil }
        let dockerd = lab.engineExecutable ?? LabEngine.executable("dockerd")
        return LabProcess(
            host: self, program: "dockerd",
            command: [
                dockerd, "--config-file", LabEngine.settings, "--host", "unix://\(Lab.engineSocket)",
                "--pidfile", "/run/docker/dockerd.pid",
                // Where `weft lab down` finds what runs, on any cgroup version and whether systemd is there or not.
                "--cgroup-parent", "/\(lab.name)", "--exec-opt", "native.cgroupdriver=cgroupfs",
            ],
            socket: "\(directory)/docker/docker.sock",
            // Its containerd and its proxies belong to it: another release's may not do.
            searchPath: [String(dockerd[..<(dockerd.lastIndex(of: "/") ?? dockerd.startIndex)])],
            secondsToStart: 60, secondsToStop: 60)
    }

    /// Starts the engine, which weftd must be up for: it asks its plugins at once. Blocks until it answers.
    package func startEngine() throws {
        guard let engine else { throw LabError.noEngine }
        guard engine.pid == nil else { throw LabError.alreadyRunning(engine.program, host: name) }
        let run = "\(directory)/docker"
        // dockerd believes these when it was killed and their numbers are taken by others meanwhile.
        unlink("\(run)/dockerd.pid")
        let containerd = "\(run)/containerd/containerd.pid"
        if let text = try? FileSystem.readText(containerd) {
            let pid = text.filter { !$0.isWhitespace }
            if (try? FileSystem.readLink("/proc/\(pid)/exe"))?.hasSuffix("/containerd") != true { unlink(containerd) }
        }
        try FileSystem.writeAtomically(Array("{}\n".utf8), to: "\(run)/daemon.json", mode: 0o644)
        try engine.start()
        try engine.wait()
        try check(
            withNamespaces { clab_mount_over($0, Lab.engineSocket, LabEngine.defaultSocket) },
            "bind \(LabEngine.defaultSocket) of \(name)")
    }
}
