import ArgumentParser
import WeftTemplate

struct ServiceUpdate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update", abstract: "Changes a service; its tasks are replaced by and by.",
        discussion: """
            What is not said stays as it is. Waits until the update is through, unless -d is given.

              weft service update --image redis:7.2 --update-order start-first cache
              weft service update --args './server --port 81' --publish-rm 80 --publish-add 8080:81 web
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var settings: ServiceSettings
    @Option(help: ArgumentHelp("Another command, or the container's other arguments, as one text.", valueName: "command"))
    var args: String?
    @Flag(help: "Replace the tasks though nothing else changes.")
    var force = false
    @Option(help: ArgumentHelp("Add or change an environment variable.", valueName: "name=value"))
    var envAdd: [String] = []
    @Option(help: ArgumentHelp("Remove an environment variable.", valueName: "name"))
    var envRm: [String] = []
    @Option(help: ArgumentHelp("Add or change a label.", valueName: "name=value"))
    var labelAdd: [String] = []
    @Option(help: ArgumentHelp("Remove a label.", valueName: "name"))
    var labelRm: [String] = []
    @Option(help: ArgumentHelp("Put it on a further network.", valueName: "network"), completion: .networkNames)
    var networkAdd: [String] = []
    @Option(help: ArgumentHelp("Take it off a network.", valueName: "network"), completion: .networkNames)
    var networkRm: [String] = []
    @Option(help: ArgumentHelp("Publish a further port.", valueName: "[address:]published:target[/protocol]"))
    var publishAdd: [String] = []
    @Option(help: ArgumentHelp("Publish a port no more, by the service's own number.", valueName: "[address:published:]target[/protocol]"))
    var publishRm: [String] = []
    @Option(help: ArgumentHelp("Add a constraint.", valueName: "constraint"))
    var constraintAdd: [String] = []
    @Option(help: ArgumentHelp("Remove a constraint.", valueName: "constraint"))
    var constraintRm: [String] = []
    @Option(help: ArgumentHelp("Give its tasks a further secret.", valueName: "name"), completion: .secretNames)
    var secretAdd: [String] = []
    @Option(help: ArgumentHelp("Take a secret from its tasks.", valueName: "name"), completion: .secretNames)
    var secretRm: [String] = []
    @Option(help: ArgumentHelp("Give its tasks a further config.", valueName: "name"), completion: .configNames)
    var configAdd: [String] = []
    @Option(help: ArgumentHelp("Take a config from its tasks.", valueName: "name"), completion: .configNames)
    var configRm: [String] = []
    @Flag(help: "Go back to the spec before.")
    var rollback = false
    @Flag(name: .shortAndLong, help: "Do not wait for its tasks.")
    var detach = false
    @Flag(name: .shortAndLong, help: "Print no progress.")
    var quiet = false
    @Argument(help: "A name or id.", completion: .serviceNames)
    var service: String

    func run() async throws {
        let connection = try connection.connect()
        let current = try await connection.get("services", service)
        var spec = current["Spec"]
        if !rollback {
            spec = try changed(spec)
            try await change(&spec, connection)
        }
        try await connection.update(current, spec: spec, isRollback: rollback)
        Terminal.line(service)
        guard !detach else { return }
        try await ServiceProgress(service: current["ID"].string ?? service, connection: connection, isQuiet: quiet).wait()
    }

    /// What needs to be asked of nobody.
    func changed(_ spec: TemplateValue) throws -> TemplateValue {
        var spec = try settings.applied(to: spec)
        let container = ["TaskTemplate", "ContainerSpec"]
        if let args {
            let isSandbox = spec["TaskTemplate"]["Runtime"].string == "sandbox"
            spec.set(container + [isSandbox ? "Command" : "Args"], .strings(Self.words(args)))
            if isSandbox { spec.set(container + ["Args"], .array([])) }
        }
        if force { spec.set(["TaskTemplate", "ForceUpdate"], .int((spec["TaskTemplate"]["ForceUpdate"].int ?? 0) + 1)) }
        try changeEnvironment(in: &spec, at: container + ["Env"])
        var labels = spec["Labels"].object ?? TemplateObject(kind: .map)
        for name in labelRm { labels[name] = nil }
        for (name, value) in try pairs(labelAdd, option: "--label-add").sorted(by: { $0.key < $1.key }) { labels[name] = .string(value) }
        spec["Labels"] = .object(labels)
        var constraints = spec["TaskTemplate"]["Placement"]["Constraints"].array.compactMap(\.string)
        constraints.removeAll(where: constraintRm.contains)
        constraints += constraintAdd.filter { !constraints.contains($0) }
        spec.set(["TaskTemplate", "Placement", "Constraints"], .strings(constraints))
        try changePorts(in: &spec)
        return spec
    }

    private func changeEnvironment(in spec: inout TemplateValue, at path: [String]) throws {
        guard !envAdd.isEmpty || !envRm.isEmpty else { return }
        let added = try Environment.entries(files: [], arguments: envAdd)
        func name(_ entry: String) -> Substring { entry.prefix { $0 != "=" } }
        let gone = Set(envRm.map { $0[...] } + added.map(name))
        let kept = spec["TaskTemplate"]["ContainerSpec"]["Env"].array.compactMap(\.string).filter { !gone.contains(name($0)) }
        spec.set(path, .strings(kept + added))
    }

    private func changePorts(in spec: inout TemplateValue) throws {
        guard !publishAdd.isEmpty || !publishRm.isEmpty else { return }
        var ports = PublishedPorts(of: spec)
        for argument in publishRm { try ports.remove(try Publication(argument)) }
        for argument in publishAdd { ports.add(try Publication(argument)) }
        ports.apply(to: &spec)
    }

    /// Networks, secrets and configs, which are kept by their ids.
    private func change(_ spec: inout TemplateValue, _ connection: Connection) async throws {
        if !networkAdd.isEmpty || !networkRm.isEmpty {
            var networks = spec["TaskTemplate"]["Networks"].array
            for name in networkRm {
                let id = try await connection.get("networks", name)["Id"]
                networks.removeAll { $0["Target"] == id }
            }
            networks += try networkAdd.map(ServiceParts.network)
            spec.set(["TaskTemplate", "Networks"], .array(networks))
        }
        for (key, added, removed) in [("Secret", secretAdd, secretRm), ("Config", configAdd, configRm)] {
            guard !added.isEmpty || !removed.isEmpty else { continue }
            let kept = spec["TaskTemplate"]["ContainerSpec"]["\(key)s"].array.filter { reference in
                !removed.contains(reference["\(key)Name"].string ?? "")
            }
            let new = try await connection.references(added, isSecret: key == "Secret")
            spec.set(["TaskTemplate", "ContainerSpec", "\(key)s"], .array(kept + new))
        }
    }

    /// A command's words, as a shell takes them apart: at blanks, unless they are quoted.
    static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in text {
            switch (character, quote) {
            case (let mark, let open?) where mark == open: quote = nil
            case ("'", nil), ("\"", nil):
                quote = character
                word = word ?? ""
            case (_, nil) where character.isWhitespace:
                if let done = word { words.append(done) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        return words + (word.map { [$0] } ?? [])
    }
}

extension Connection {
    /// Replaces a service's spec under the version as it was read.
    func update(_ service: TemplateValue, spec: TemplateValue, isRollback: Bool = false) async throws {
        let version = ("version", String(service["Version"]["Index"].int ?? 0))
        let answer = try await post(
            "services", service["ID"].string ?? "", "update", query: isRollback ? [("rollback", "previous"), version] : [version],
            body: spec)
        answer["Warnings"].array.compactMap(\.string).forEach { Terminal.complain("warning: \($0)") }
    }
}

struct ServiceScale: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale", abstract: "Sets how many tasks services have.", discussion: "  weft service scale web=5 cache=2")

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Do not wait for the tasks.")
    var detach = false
    @Argument(help: ArgumentHelp("Names or ids, and numbers.", valueName: "service=replicas"))
    var wishes: [String]

    func counts() throws -> [(service: String, replicas: Int64)] {
        try wishes.map { wish in
            let halves = wish.split(separator: "=", maxSplits: 1)
            guard halves.count == 2, let count = UInt32(halves[1]) else {
                throw CommandFailure("invalid scale specifier '\(wish)': give it as SERVICE=REPLICAS")
            }
            return (String(halves[0]), Int64(count))
        }
    }

    func run() async throws {
        let counts = try counts()
        let connection = try connection.connect()
        var ids: [String] = []
        for (name, replicas) in counts {
            let service = try await connection.get("services", name)
            try await connection.update(service, spec: try Self.scaled(service["Spec"], to: replicas, name: name))
            Terminal.line("\(name) scaled to \(replicas)")
            ids.append(service["ID"].string ?? name)
        }
        guard !detach else { return }
        for id in ids { try await ServiceProgress(service: id, connection: connection, isQuiet: false).wait() }
    }

    static func scaled(_ spec: TemplateValue, to replicas: Int64, name: String) throws -> TemplateValue {
        var spec = spec
        switch spec["Mode"].object?.keys.first {
        case "Replicated"?: spec.set(["Mode", "Replicated", "Replicas"], .int(replicas))
        case "ReplicatedJob"?: spec.set(["Mode", "ReplicatedJob", "TotalCompletions"], .int(replicas))
        default: throw CommandFailure("\(name): scale can only be used with replicated or replicated-job mode")
        }
        return spec
    }
}

struct ServiceRollback: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback", abstract: "Goes back to what a service was before its last update.",
        discussion: "  weft service rollback web")

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Do not wait for its tasks.")
    var detach = false
    @Flag(name: .shortAndLong, help: "Print no progress.")
    var quiet = false
    @Argument(help: "A name or id.", completion: .serviceNames)
    var service: String

    func run() async throws {
        let connection = try connection.connect()
        let current = try await connection.get("services", service)
        try await connection.update(current, spec: current["Spec"], isRollback: true)
        Terminal.line(service)
        guard !detach else { return }
        try await ServiceProgress(service: current["ID"].string ?? service, connection: connection, isQuiet: quiet).wait()
    }
}
