// A swarm of hosts that are namespaces on one machine: for trying Weft out, for tests, for benchmarks.
//
//      host1            host2            host3          network, mount and UTS namespaces, named weft-lab-1, …
//   eth0 172.30.0.1  eth0 172.30.0.2  eth0 172.30.0.3
//        │                │                │           veth pairs
//   ─────┴────────────────┴────────────────┴─────       bridge 172.30.0.254 in the namespace weft-lab
//
// The machine's own network namespace gets nothing of it. Each host sees its own /run/weft and /var/lib/weft and has
// a BPF file system of its own, so weftd and weft run there with their defaults; a /run/docker, /run/containerd and
// /var/lib/docker of its own too, for a container engine. As on a machine, what is in /run is in memory, and what is
// in /var/lib on a disk: they are under /run/weft-lab and /var/lib/weft-lab. The namespaces live by their bind mounts,
// whether something runs in them or not.

import CLab
import Glibc
import WeftLinux
import WeftNet

/// The lab of this machine.
package struct Lab: Sendable {
    /// Hosts get 172.30.0.1 and up.
    package static let hostsMax = 200
    static let gateway = "172.30.0.254"
    static let marker = "weft-lab"
    /// Where every host sees its own directory.
    static let runDirectory = "/run/weft"
    static let stateDirectory = "/var/lib/weft"
    /// So that a lab without engines does not find the machine's.
    static let engineSocket = "/run/docker/docker.sock"

    /// `weft-lab`; another one is a lab apart.
    package let name: String
    /// What is started on each host: weftd, with nothing but its defaults, since each host has these to itself.
    package let daemon: [String]

    package var directory: String { "/run/\(name)" }
    /// What hosts keep, images and containers.
    var storage: String { "/var/lib/\(name)" }
    var underlay: String { "/run/netns/\(name)" }
    var record: String { "\(directory)/\(Self.marker)" }

    /// Whether a lab can be called so. A digit could make one lab's name that of another's host.
    package static func isName(_ name: String) -> Bool {
        (1...20).contains(name.utf8.count) && name.utf8.allSatisfy { (97...122).contains($0) || $0 == 45 } && name.utf8.first != 45
    }

    /// - Parameter weftd: the executable's path.
    package init(name: String = "weft-lab", weftd: String) {
        self.init(
            name: name,
            daemon: [
                weftd, "--run-dir", Self.runDirectory, "--state-dir", Self.stateDirectory,
                "--engine-socket", Self.engineSocket,
            ])
    }

    /// A lab whose hosts run something else.
    package init(name: String, daemon: [String]) {
        self.name = name
        self.daemon = daemon
    }

    package func host(_ number: Int) -> LabHost { LabHost(lab: self, number: number) }

    /// The hosts there are, by number.
    package func hosts() -> [LabHost] {
        let names = (try? FileSystem.list(directory)) ?? []
        return names.compactMap { $0.hasPrefix("host") ? Int($0.dropFirst(4)) : nil }.sorted().map { host($0) }
    }

    /// The host with this number.
    package func existing(_ number: Int) throws(LabError) -> LabHost {
        let hosts = hosts()
        guard !hosts.isEmpty else { throw .notUp }
        guard let host = hosts.first(where: { $0.number == number }) else {
            throw .noSuchHost(number, hosts: hosts.count)
        }
        return host
    }

    /// What runs containers on the hosts.
    package var engine: LabEngine? { recorded("engine ").flatMap { LabEngine(rawValue: $0) } }
    /// The engine's executable, if it is not this machine's own.
    var engineExecutable: String? { recorded("engine-executable ") }

    private func recorded(_ key: String) -> String? {
        let lines = ((try? FileSystem.readText(record)) ?? "").split(separator: "\n")
        return lines.first { $0.hasPrefix(key) }.map { String($0.dropFirst(key.count)) }
    }

    /// Makes the namespaces and what joins them; starts nothing yet. Takes about 15 ms a host.
    package func make(hosts count: Int, engine: LabEngine? = nil, engineExecutable: String? = nil) throws {
        guard getuid() == 0 else { throw LabError.notRoot }
        guard (1...Self.hostsMax).contains(count) else { throw LabError.invalidCount(count) }
        guard !FileSystem.exists(record) else { throw LabError.alreadyUp(hosts: hosts().count) }
        try FileSystem.makeDirectory(directory, mode: 0o755)
        try check(clab_mount_memory(directory), "mount memory on \(directory)")
        try append(engine.map { "engine \($0.rawValue)" } ?? "")
        try append(engineExecutable.map { "engine-executable \($0)" } ?? "")
        try FileSystem.makeDirectory("/run/netns")
        let shared = clab_make_shared("/run/netns")
        if shared == 1 { try append("umount /run/netns") }
        if shared < 0 { try check(shared, "make /run/netns a shared mount") }
        for (_, path) in LabHost(lab: self, number: 0).directories where !FileSystem.exists(path) {
            try append("rmdir \(path)")
            try FileSystem.makeDirectory(path)
        }
        if engine != nil, !FileSystem.exists(LabEngine.defaultSocket) {
            // Something to bind each host's own over.
            try append("rmempty \(LabEngine.defaultSocket)")
            _ = try OwnedDescriptor(opening: LabEngine.defaultSocket, flags: O_WRONLY | O_CREAT, mode: 0o600)
        }
        try check(clab_make_network(underlay), "make the namespace \(name)")
        let link = try UnderlayLink(path: underlay)
        for number in 1...count {
            let host = host(number)
            try host.make()
            try link.connect(host)
        }
    }

    /// Remembers what `down` has to undo outside the lab's own directory, before it is done.
    private func append(_ line: String) throws {
        let file = try OwnedDescriptor(opening: record, flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
        if !line.isEmpty { try file.writeAll(Array("\(line)\n".utf8), "write \(record)") }
    }
}

/// What a user of the lab has to be told.
package enum LabError: Error, Equatable, CustomStringConvertible {
    case notRoot
    case invalidCount(Int)
    case alreadyUp(hosts: Int)
    case notUp
    case noSuchHost(Int, hosts: Int)
    case noEngine
    case alreadyRunning(String, host: String)
    case notRunning(String, host: String)
    /// The daemon ended, or did not open its socket; the text is the end of its log.
    case daemonFailed(String, host: String, log: String, tail: String)
    case doesNotStop(String, host: String)
    case image(String)
    case commandNotFound(String)
    case commandFailed(command: String, reason: String)
    case insideLab
    case swarm(host: String, reason: String)

    package var description: String {
        switch self {
        case .notRoot: "the lab makes namespaces: run it as root"
        case .invalidCount(let count): "a lab has 1 to \(Lab.hostsMax) hosts, not \(count)"
        case .alreadyUp(let hosts): "a lab of \(hosts) hosts is there already; remove it with `weft lab down` first"
        case .notUp: "there is no lab; make one with `weft lab up`"
        case .noSuchHost(let number, let hosts): "there is no host \(number); the lab has hosts 1 to \(hosts)"
        case .noEngine: "the lab has no container engines; make one that has: `weft lab up --engine docker`"
        case .alreadyRunning(let program, let host): "\(program) runs on \(host) already"
        case .notRunning(let program, let host): "\(program) does not run on \(host)"
        case .daemonFailed(let program, let host, let log, let tail):
            "\(program) did not start on \(host); its log is \(log)" + (tail.isEmpty ? "" : ", and ends:\n\(tail)")
        case .doesNotStop(let program, let host): "\(program) on \(host) does not stop; end it with `weft lab kill`"
        case .image(let reason): reason
        case .commandNotFound(let command): "command not found: \(command)"
        case .commandFailed(let command, let reason): "cannot run \(command): \(reason)"
        case .insideLab: "this is a host of the lab; leave it first"
        case .swarm(let host, let reason): "\(host): \(reason)"
        }
    }
}

/// Throws for a negative errno value, as the functions in C return them.
func check(_ result: Int32, _ what: String) throws(SystemError) {
    if result < 0 { throw SystemError(what, code: -result) }
}
