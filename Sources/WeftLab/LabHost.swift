import CSandbox
import Glibc
import WeftLinux
import WeftSandbox

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
    package var stateDirectory: String { "\(directory)/lib" }
    /// weftd's API, seen from the machine.
    package var socket: String { "\(runDirectory)/docker.sock" }
    package var log: String { "\(directory)/weftd.log" }
    var mounts: String { "\(directory)/mnt" }
    var uts: String { "\(directory)/uts" }
    private var pidFile: String { "\(directory)/weftd.pid" }

    func make() throws {
        for path in [runDirectory, stateDirectory] { try FileSystem.makeDirectory(path) }
        var failed = [CChar](repeating: 0, count: 200)
        let result = withNamespaces { host in
            withCStrings([runDirectory, Lab.runDirectory, stateDirectory, Lab.stateDirectory]) { texts in
                let bindings = [
                    clab_binding(source: texts[0], target: texts[1]), clab_binding(source: texts[2], target: texts[3]),
                ]
                return clab_make_host(host, name, bindings, bindings.count, lab.directory, &failed, failed.count)
            }
        }
        let what = String(decoding: failed.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try check(result, what.isEmpty ? "make \(name)" : "make \(name): \(what)")
    }

    // MARK: - weftd

    /// weftd's process id while it runs.
    package var pid: Int32? {
        guard let text = try? FileSystem.readText(pidFile) else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 2, let pid = Int32(fields[0]), let time = UInt64(fields[1]), time != 0,
            csb_start_time(pid) == time
        else { return nil }
        return pid
    }

    /// Starts weftd, detached; it need not answer yet.
    package func startDaemon() throws {
        guard pid == nil else { throw LabError.alreadyRunning(name) }
        // The one of before: to connect to it would say that nobody listens, but not that nobody does yet.
        unlink(socket)
        var pid: pid_t = 0
        let environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        let result = withNamespaces { host in
            withCStrings(lab.daemon) { arguments in
                withCStrings(environment) { clab_spawn(host, arguments, $0, log, &pid) }
            }
        }
        if result < 0 {
            throw LabError.commandFailed(
                command: lab.daemon.joined(separator: " "), reason: String(cString: strerror(-result)))
        }
        try FileSystem.writeAtomically(Array("\(pid) \(csb_start_time(pid))\n".utf8), to: pidFile)
    }

    /// Blocks until weftd's socket takes connections.
    package func waitForDaemon(seconds: Double = 20) throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            let fd = csb_connect(socket)
            if fd >= 0 {
                close(fd)
                return
            }
            guard pid != nil, ContinuousClock.now < deadline else {
                throw LabError.daemonFailed(host: name, log: log, tail: logTail())
            }
            usleep(5_000)
        }
    }

    private func logTail() -> String {
        let text = (try? FileSystem.readText(log)) ?? ""
        return text.split(separator: "\n").suffix(5).joined(separator: "\n")
    }

    /// Ends weftd and waits until it is gone. Its sandboxes and their traffic go on.
    package func endDaemon(signal: Int32, seconds: Double = 15) throws {
        guard let pid else { throw LabError.notRunning(name) }
        _ = csb_kill(pid, signal)
        let deadline = ContinuousClock.now + .seconds(seconds)
        while self.pid == pid {
            guard ContinuousClock.now < deadline else { throw LabError.doesNotStop(host: name) }
            usleep(2_000)
        }
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
        let result = withNamespaces { host in withCStrings(command) { clab_exec(host, $0) } }
        if result == -ENOENT { throw LabError.commandNotFound(first) }
        throw LabError.commandFailed(command: first, reason: String(cString: strerror(-result)))
    }

    private func withNamespaces(_ body: (UnsafePointer<clab_host>) -> Int32) -> Int32 {
        withCStrings([networkNamespace, mounts, uts]) { paths in
            var host = clab_host(network: paths[0], mounts: paths[1], uts: paths[2])
            return body(&host)
        }
    }
}

/// Passes texts to C as a list that ends with a null pointer.
func withCStrings<Result>(
    _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = texts.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("a list with its end is not empty") }
        return body(base)
    }
}
