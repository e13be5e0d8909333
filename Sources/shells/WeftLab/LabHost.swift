import CLab
import Glibc
import WeftLinux
import WeftSandbox
import WeftText

/// A host of the lab.
package struct LabHost: Sendable {
    let lab: Lab
    package let number: Int

    package var name: String { "host\(number)" }
    package var address: String { "172.30.0.\(number)" }
    /// Its network namespace, as `ip netns` and `nsenter --net` take it.
    package var networkNamespace: String { "/run/netns/\(lab.name)-\(number)" }
    package var directory: String { "\(lab.directory)/\(name)" }
    /// weftd's run directory, seen from the machine.
    package var runDirectory: String { "\(directory)/run" }
    package var stateDirectory: String { "\(lab.storage)/\(name)-weft" }
    /// weftd's API, seen from the machine.
    package var socket: String { "\(runDirectory)/docker.sock" }
    var mounts: String { "\(directory)/mnt" }
    var uts: String { "\(directory)/uts" }
    /// Directories of the machine, and under which names the host has them.
    var directories: [(source: String, target: String)] {
        [
            (runDirectory, Lab.runDirectory), (stateDirectory, Lab.stateDirectory),
            ("\(directory)/docker", "/run/docker"), ("\(directory)/containerd", "/run/containerd"),
            ("\(lab.storage)/\(name)", "/var/lib/docker"),
        ]
    }

    func make() throws {
        let directories = directories
        for (path, _) in directories { try FileSystem.makeDirectory(path) }
        var failed = [CChar](repeating: 0, count: 200)
        let result = withNamespaces { host in
            withCStrings(directories.flatMap { [$0.source, $0.target] }) { texts in
                let bindings = directories.indices.map { clab_binding(source: texts[2 * $0], target: texts[2 * $0 + 1]) }
                return clab_make_host(host, name, bindings, bindings.count, lab.directory, &failed, failed.count)
            }
        }
        let what = String(decoding: failed.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try check(result, what.isEmpty ? "make \(name)" : "make \(name): \(what)")
    }

    /// weftd.
    package var daemon: LabProcess {
        LabProcess(host: self, program: "weftd", command: lab.daemon, socket: socket)
    }

    /// The sandboxes that run on the host.
    var sandboxes: [SandboxState] {
        SandboxStore(runDirectory: runDirectory).list().compactMap(\.state).filter(\.isAlive)
    }

    package var sandboxCount: Int { sandboxes.count }

    // MARK: - Commands

    /// Becomes a command on the host, whose exit code is then this process's. Returns only by throwing.
    package func execute(_ command: [String]) throws -> Never {
        guard let first = command.first else {
            throw LabError.commandFailed(command: "nothing", reason: "name a command after --")
        }
        // Without an engine too: the swarm, its nodes, networks and services are Weft's own.
        setenv("DOCKER_HOST", "unix://\(Lab.runDirectory)/docker.sock", 1)
        unsetenv("DOCKER_CONTEXT")
        let result = withNamespaces { host in withCStrings(command) { clab_exec(host, $0) } }
        if result == -ENOENT { throw LabError.commandNotFound(first) }
        throw LabError.commandFailed(command: first, reason: String(cString: strerror(-result)))
    }

    func withNamespaces(_ body: (UnsafePointer<clab_host>) -> Int32) -> Int32 {
        withCStrings([networkNamespace, mounts, uts]) { paths in
            var host = clab_host(network: paths[0], mounts: paths[1], uts: paths[2])
            return body(&host)
        }
    }
}
