import ArgumentParser
import Glibc
import WeftLab

/// `weft lab`: a swarm of hosts that are namespaces on this machine.
struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "Tries Weft out: a swarm of hosts that are namespaces on this machine.",
        discussion: """
            The hosts are real to Weft: each has a network of its own and runs a weftd of its own. This machine's
            network is left alone.

              weft lab up --nodes 3
              weft lab exec 1 -- weft network create -d overlay --attachable my_net
              weft lab exec 2 -- weft run -d --name a1 --network my_net -- sleep infinity
              weft lab exec 3 -- weft run -it --network my_net -- ping a1
              weft lab down

            With a container engine on each host:

              weft lab up --engine docker
              weft lab image --busybox
              weft lab exec 1 -- docker network create -d overlay --attachable my_net
              weft lab exec 2 -- docker run -d --name a1 --network my_net alpine sleep 86400
              weft lab exec 3 -- docker run --rm --network my_net alpine ping -c 3 a1

            A second lab beside the first is made with another name in the environment, its commands likewise:

              WEFT_LAB=other weft lab up
            """,
        subcommands: [
            LabUp.self, LabList.self, LabExec.self, LabImage.self, LabStop.self, LabStart.self, LabKill.self, LabDown.self,
        ])

    static var lab: Lab {
        get throws {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink("/proc/self/exe", &buffer, buffer.count)
            let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let end = path.lastIndex(of: "/") ?? path.startIndex
            guard let name = getenv("WEFT_LAB").map({ String(cString: $0) }), !name.isEmpty else {
                return Lab(weftd: path[..<end] + "/weftd")
            }
            guard Lab.isName(name) else {
                throw ValidationError("WEFT_LAB must be 1 to 20 lower-case letters and hyphens, beginning with a letter; it is “\(name)”")
            }
            return Lab(name: name, weftd: path[..<end] + "/weftd")
        }
    }

    /// Turns the lab's errors into sentences for the user.
    static func reporting<Result>(_ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch let error as LabError {
            // As a shell has it, for `lab exec`.
            switch error {
            case .commandNotFound: throw CommandFailure(error.description, exitCode: 127)
            case .commandFailed: throw CommandFailure(error.description, exitCode: 126)
            default: throw CommandFailure(error.description)
            }
        }
    }

    /// The hosts as a table.
    static func table(_ hosts: [LabHost]) -> String {
        func state(_ process: LabProcess) -> String { process.pid.map { "running (pid \($0))" } ?? "stopped" }
        let hasEngine = hosts.contains { $0.engine != nil }
        let rows =
            [["HOST", "ADDRESS", "WEFTD"] + (hasEngine ? ["ENGINE"] : []) + ["SANDBOXES", "SOCKET"]]
            + hosts.map { host in
                [host.name, host.address, state(host.daemon)]
                    + (host.engine.map { ["\($0.program) \(state($0))"] } ?? [])
                    + [String(host.sandboxCount), host.socket]
            }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            var line = cells.joined(separator: "   ")
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}

struct LabUp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Makes the hosts, starts weftd on each, and joins them into a swarm.",
        discussion: """
              weft lab up --nodes 3
              weft lab up --nodes 3 --engine docker
              weft lab up --engine docker --dockerd /opt/docker-28/dockerd
            """)

    @Option(name: [.customShort("n"), .long], help: "How many hosts, 1 to \(Lab.hostsMax).")
    var nodes = 3

    @Option(help: "A container engine for each host: docker.")
    var engine: LabEngine?

    @Option(
        help: ArgumentHelp(
            "The dockerd to start, such as one of another release; its containerd is taken from beside it.",
            valueName: "path"))
    var dockerd: String?

    @Flag(inversion: .prefixedNo, help: "Join the hosts into a swarm.")
    var swarm = true

    func validate() throws {
        guard nodes >= 1 else { throw ValidationError("a lab has at least 1 host, not \(nodes)") }
        guard nodes <= Lab.hostsMax else { throw ValidationError("a lab has at most \(Lab.hostsMax) hosts, not \(nodes)") }
        guard let dockerd else { return }
        guard engine == .docker else { throw ValidationError("--dockerd is for labs with engines; give --engine docker, too") }
        guard dockerd.hasPrefix("/"), !dockerd.contains(where: \.isNewline), access(dockerd, X_OK) == 0 else {
            throw ValidationError("--dockerd must be the absolute path of an executable, which \(dockerd) is not")
        }
    }

    func run() async throws {
        try await LabCommand.reporting {
            let lab = try LabCommand.lab
            let start = ContinuousClock.now
            do {
                try await lab.up(hosts: nodes, engine: engine, engineExecutable: dockerd, swarm: swarm)
            } catch LabError.alreadyUp(let hosts) {
                throw LabError.alreadyUp(hosts: hosts)
            } catch {
                Terminal.complain("the lab is left as it is, to look into; `weft lab down` removes it")
                throw error
            }
            let took = (ContinuousClock.now - start) / .milliseconds(1)
            Terminal.print(LabCommand.table(lab.hosts()))
            let count = nodes == 1 ? "1 host" : "\(nodes) hosts"
            Terminal.print("\n\(count) up in \(Int(took)) ms. What to try next:\n\n\(suggestion)  weft lab down\n\n")
        }
    }

    private var suggestion: String {
        guard swarm else {
            return "  weft lab exec 1 -- weft swarm init --advertise-addr 172.30.0.1\n"
        }
        let other = min(nodes, 2)
        return switch engine {
        case nil:
            """
              weft lab exec 1 -- weft node ls                 # host1 is the manager
              weft lab exec 1 -- weft network create -d overlay --attachable my_net
              weft lab exec 1 -- weft run -d --name a1 --network my_net -- sleep infinity
              weft lab exec \(other) -- weft run -it --network my_net -- ping a1

            """
        case .docker:
            """
              weft lab image --busybox                        # an image for all hosts, without a registry
              weft lab exec 1 -- docker node ls               # host1 is the manager
              weft lab exec 1 -- docker network create -d overlay --attachable my_net
              weft lab exec 1 -- docker run -d --name a1 --network my_net alpine sleep 86400
              weft lab exec \(other) -- docker run -it --rm --network my_net alpine ping a1

            """
        }
    }
}

extension LabEngine: ExpressibleByArgument {}

struct LabList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Lists the hosts.", discussion: "  weft lab ls", aliases: ["list"])

    func run() async throws { Terminal.print(LabCommand.table(try LabCommand.lab.hosts())) }
}

struct LabExec: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Runs a command on a host.",
        discussion: """
            The command has the host's network, name, /run/weft and /var/lib/weft; otherwise it sees this machine. docker
            talks to Weft's socket there, when the lab has engines. Its exit code is the command's.

              weft lab exec 2 -- weft ps
              weft lab exec 1 -- bash
            """)

    @Argument(help: "The host's number.")
    var number: Int
    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments.")
    var command: [String]

    func run() async throws {
        try await LabCommand.reporting {
            let words = command.first == "--" ? Array(command.dropFirst()) : command
            try LabCommand.lab.existing(number).execute(words)
        }
    }
}

/// A host, and which of its daemons.
struct LabTarget: ParsableArguments {
    @Argument(help: "The host's number.")
    var number: Int
    @Flag(help: "Its container engine instead of weftd.")
    var engine = false

    func process() throws -> LabProcess {
        let host = try LabCommand.lab.existing(number)
        guard engine else { return host.daemon }
        guard let engine = host.engine else { throw LabError.noEngine }
        return engine
    }
}

struct LabStop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Stops a host's weftd; its sandboxes, containers and their traffic go on.",
        discussion: """
              weft lab stop 2
              weft lab stop 2 --engine      # stops its containers too
            """)

    @OptionGroup var target: LabTarget

    func run() async throws {
        try await LabCommand.reporting { try target.process().end(signal: SIGTERM) }
    }
}

struct LabStart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Starts a host's weftd again, or its engine.",
        discussion: """
              weft lab start 2
              weft lab start 2 --engine
            """)

    @OptionGroup var target: LabTarget

    func run() async throws {
        try await LabCommand.reporting {
            let host = try LabCommand.lab.existing(target.number)
            if target.engine { return try host.startEngine() }
            try host.daemon.start()
            try host.daemon.wait()
        }
    }
}

struct LabKill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "Kills a host's weftd or its engine, as a crash would (SIGKILL).",
        discussion: """
              weft lab kill 2
              weft lab kill 2 --engine
            """)

    @OptionGroup var target: LabTarget

    func run() async throws {
        try await LabCommand.reporting { try target.process().end(signal: SIGKILL) }
    }
}

struct LabImage: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Loads an image into the engines of all hosts.",
        discussion: """
            From a file that `docker save` wrote, or one made of this machine's busybox, which needs no registry.

              weft lab image --busybox                  # as \(Lab.busyboxTags.joined(separator: " and "))
              weft lab image --busybox alpine:3.20
              docker save -o web.tar web; weft lab image web.tar
            """)

    @Flag(help: "Make the image of this machine's busybox.")
    var busybox = false
    @Argument(help: "The file, unless --busybox is given; then names that the image gets.")
    var names: [String] = []

    func validate() throws {
        if !busybox, names.isEmpty { throw ValidationError("name a file that `docker save` wrote, or give --busybox") }
    }

    func run() async throws {
        try await LabCommand.reporting {
            let lab = try LabCommand.lab
            if busybox { return try lab.loadBusybox(tags: names) }
            guard let file = names.first else { return }
            guard access(file, R_OK) == 0 else { throw LabError.image("cannot read \(file): \(String(cString: strerror(errno)))") }
            try lab.load(image: file, tags: Array(names.dropFirst()))
        }
    }
}

struct LabDown: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Ends everything on the hosts and removes them.",
        discussion: "  weft lab down")

    func run() async throws {
        try await LabCommand.reporting {
            let problems = try LabCommand.lab.down()
            if !problems.isEmpty { throw CommandFailure(problems.joined(separator: "\n")) }
        }
    }
}
