package import WeftLinux
package import WeftSandboxWire

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

    /// A command that says by its exit code how the sandbox is. Times are in nanoseconds; what is 0 is as usual.
    package struct HealthCheck: Codable, Equatable, Sendable {
        package var command: [String]
        package var interval: Int64 = 0
        package var timeout: Int64 = 0
        package var startPeriod: Int64 = 0
        package var startInterval: Int64 = 0
        package var retries: Int64 = 0

        package init(command: [String]) { self.command = command }
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
    /// Lines of /etc/hosts besides those of its addresses.
    package var ownHosts: [HostsEntry]?
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
    /// What is seen inside besides the root, in any order.
    package var mounts: [SandboxMount]?
    /// Who its processes are, and what they may do; nil: root, with the usual capabilities.
    package var confinement: Confinement?
    /// Settings of its namespaces: names as sysctl(8) has them.
    package var sysctls: [String: String]?
    /// Nothing of `rootfs` can be written.
    package var isReadOnly: Bool?
    /// The first process looks after the command: it hands on signals, and reaps what nobody waits for.
    package var hasInit: Bool?
    /// What its processes may use together; nil: as much as there is.
    package var resources: ResourceLimits?
    package var health: HealthCheck?

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
    /// variables and then by `more`. A user's home is added where the user is looked up.
    package func completeEnvironment(adding more: [String] = [], terminal: Bool? = nil) -> [String] {
        var defaults = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=\(hostname)",
        ]
        if confinement?.user.isEmpty ?? true { defaults.append("HOME=/root") }
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
        if let problem = (mounts ?? []).lazy.compactMap(\.problem).first { return problem }
        if isReadOnly == true, rootfs == nil { return "a root that is read-only has to be the sandbox's own: give a root file system" }
        if let bad = environment.first(where: { !$0.contains("=") || $0.hasPrefix("=") }) {
            return "\"\(bad)\" is no environment variable; write NAME=value"
        }
        let texts = command + environment + [name, hostname, rootfs ?? "", workingDirectory ?? ""] + textsOfMore
        if texts.contains(where: { $0.utf8.contains(0) }) { return "text with a NUL character cannot be passed on" }
        let lines = hosts.flatMap { [$0.address] + $0.names } + resolver.addresses + resolver.search + resolver.options
        if lines.contains(where: { $0.isEmpty || $0.utf8.contains { $0 <= 0x20 } }) {
            return "names and addresses in hosts and resolv.conf cannot hold blanks"
        }
        return nil
    }

    private var textsOfMore: [String] {
        let confinement = confinement ?? Confinement()
        let texts = (mounts ?? []).flatMap { [$0.source ?? "", $0.target, $0.options] } + (sysctls ?? [:]).flatMap { [$0.key, $0.value] }
        return texts + [confinement.user] + confinement.groups
    }

    /// In the order in which they are to be placed: what is at a path, before what is below it.
    package var placedMounts: [SandboxMount] {
        (mounts ?? []).enumerated().sorted { ($0.element.depth, $0.offset) < ($1.element.depth, $1.offset) }.map(\.element)
    }

    /// Paths below /proc/sys, each with its value after it.
    package var sysctlFiles: [String] {
        (sysctls ?? [:]).sorted { $0.key < $1.key }
            .flatMap { [String($0.key.map { $0 == "." ? "/" : $0 }), $0.value] }
    }
}

extension SandboxMount {
    fileprivate var depth: Int { target.split(separator: "/").count }

    /// A sentence, or nil.
    fileprivate var problem: String? {
        let parts = target.split(separator: "/")
        guard target.hasPrefix("/"), !parts.isEmpty, !parts.contains("."), !parts.contains(".."), !target.hasSuffix("/") else {
            return "nothing can be seen at \"\(target)\": give an absolute path"
        }
        guard parts.first != "proc" else { return "nothing can be seen at \(target): /proc is the kernel's" }
        guard source.map({ $0.hasPrefix("/") }) ?? true else { return "\"\(source ?? "")\" cannot be mounted: give an absolute path" }
        return nil
    }
}
