/// What a sandbox is to be.
package struct SandboxSpec: Codable, Equatable, Sendable {
    /// A line of the sandbox's /etc/hosts.
    package struct HostsEntry: Codable, Equatable, Sendable {
        package var address: String
        package var names: [String]

        package init(address: String, names: [String]) {
            self.address = address
            self.names = names
        }
    }

    /// The content of the sandbox's /etc/resolv.conf.
    package struct Resolver: Codable, Equatable, Sendable {
        package var addresses: [String]
        package var search: [String]
        package var options: [String]

        package init(addresses: [String], search: [String] = [], options: [String] = []) {
            self.addresses = addresses
            self.search = search
            self.options = options
        }
    }

    /// A file of the host's that is seen inside, and cannot be written there.
    package struct File: Codable, Equatable, Hashable, Sendable {
        package var source: String
        package var target: String

        package init(source: String, target: String) {
            self.source = source
            self.target = target
        }
    }

    package var id: String
    package var name: String
    package var hostname: String
    package var command: [String]
    /// `NAME=value` beyond, or instead of, PATH, HOME, HOSTNAME and (with a terminal) TERM.
    package var environment: [String]
    /// A directory that becomes the root; nil leaves the host's root in sight.
    package var rootfs: String?
    package var workingDirectory: String?
    package var terminal: Bool
    /// Whether the process's input can be written to; otherwise it is /dev/null.
    package var openStdin: Bool
    package var hosts: [HostsEntry]
    package var resolver: Resolver
    /// The networks as text, for display only.
    package var networks: String
    /// To be removed as soon as it has ended.
    package var autoRemove = false
    /// Resolvers that names outside the swarm's networks are asked of, instead of the host's.
    package var upstreams: [String] = []
    /// Whose sandbox it is: the id of a service's task.
    package var task: String?
    /// Asks its process to end; nil: SIGTERM.
    package var stopSignal: Int32?
    package var files: [File]?

    package init(
        id: String, name: String, hostname: String, command: [String], environment: [String] = [],
        rootfs: String? = nil, workingDirectory: String? = nil, terminal: Bool = false, openStdin: Bool = false,
        hosts: [HostsEntry] = [], resolver: Resolver = Resolver(addresses: []), networks: String = ""
    ) {
        self.id = id
        self.name = name
        self.hostname = hostname
        self.command = command
        self.environment = environment
        self.rootfs = rootfs
        self.workingDirectory = workingDirectory
        self.terminal = terminal
        self.openStdin = openStdin
        self.hosts = hosts
        self.resolver = resolver
        self.networks = networks
    }

    /// The whole environment of a process of this sandbox: the defaults, overridden by the sandbox's own
    /// variables and then by `more`.
    package func completeEnvironment(adding more: [String] = [], terminal: Bool? = nil) -> [String] {
        var defaults = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=\(hostname)", "HOME=/root",
        ]
        if terminal ?? self.terminal { defaults.append("TERM=xterm") }
        var result: [String] = []
        for variable in defaults + environment + more {
            let name = variable.prefix { $0 != "=" } + "="
            if let index = result.firstIndex(where: { $0.hasPrefix(name) }) {
                result[index] = variable
            } else {
                result.append(variable)
            }
        }
        return result
    }

    /// Says what is wrong with the spec, in a sentence, or nil.
    package var problem: String? {
        let identifier = id.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0)
        }
        if id.isEmpty || !identifier { return "a sandbox id consists of letters and digits" }
        if command.isEmpty { return "a sandbox needs a command to run" }
        if hostname.isEmpty || hostname.utf8.count > 63 { return "a host name has 1 to 63 characters" }
        if let rootfs, !rootfs.hasPrefix("/") { return "the root file system must be an absolute path" }
        if let workingDirectory, !workingDirectory.hasPrefix("/") {
            return "the working directory must be an absolute path"
        }
        if let bad = files?.first(where: { !$0.target.hasPrefix("/") || $0.target.hasSuffix("/") }) {
            return "a file cannot be seen at \"\(bad.target)\": give an absolute path"
        }
        if let bad = environment.first(where: { !$0.contains("=") || $0.hasPrefix("=") }) {
            return "\"\(bad)\" is no environment variable; write NAME=value"
        }
        let texts = command + environment + [name, hostname, rootfs ?? "", workingDirectory ?? ""] + (files ?? []).map(\.target)
        if texts.contains(where: { $0.utf8.contains(0) }) { return "text with a NUL character cannot be passed on" }
        let lines = hosts.flatMap { [$0.address] + $0.names } + resolver.addresses + resolver.search + resolver.options
        if lines.contains(where: { $0.isEmpty || $0.utf8.contains { $0 <= 0x20 } }) {
            return "names and addresses in hosts and resolv.conf cannot hold blanks"
        }
        return nil
    }
}
