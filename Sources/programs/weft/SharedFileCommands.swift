import ArgumentParser
import WeftTemplate
import WeftText

/// What secrets and configs differ in, as far as the command line goes.
protocol SharedFileKind {
    /// `secret`, as in the paths of the API with an s.
    static var word: String { get }
    static var isSecret: Bool { get }
    static var names: CompletionKind { get }
}

enum Secrets: SharedFileKind {
    static let word = "secret"
    static let isSecret = true
    static var names: CompletionKind { .secretNames }
}

enum Configs: SharedFileKind {
    static let word = "config"
    static let isSecret = false
    static var names: CompletionKind { .configNames }
}

struct SecretCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secret", abstract: "Makes, lists and removes secrets, which tasks get as files.",
        discussion: "  weft secret create db_password ./password.txt",
        subcommands: [FileCreate<Secrets>.self, FileLs<Secrets>.self, FileInspect<Secrets>.self, FileRm<Secrets>.self])
}

struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Makes, lists and removes configs, which tasks get as files.",
        discussion: "  weft config create site.conf ./site.conf",
        subcommands: [FileCreate<Configs>.self, FileLs<Configs>.self, FileInspect<Configs>.self, FileRm<Configs>.self])
}

struct FileCreate<Kind: SharedFileKind>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "create", abstract: "Makes a \(Kind.word) of a file, or of the standard input.",
            discussion: "Prints its id.\n\n  weft \(Kind.word) create --label tier=db pass ./pass.txt")
    }

    @OptionGroup var connection: ConnectionOptions
    @Option(name: [.customShort("l", allowingJoined: true), .long], help: ArgumentHelp("A label.", valueName: "name=value"))
    var label: [String] = []
    @Option(help: ArgumentHelp("Who fills in a template: golang.", valueName: "driver"))
    var templateDriver: String?
    @Argument(help: ArgumentHelp("Its name.", valueName: "name"))
    var name: String
    @Argument(help: ArgumentHelp("The file; - is the standard input.", valueName: "file"), completion: .file())
    var file: String

    func body(_ content: [UInt8]) throws -> TemplateValue {
        var body: TemplateValue = [
            "Name": .string(name), "Labels": .map(try pairs(label, option: "--label")), "Data": .string(Base64.encoded(content)),
        ]
        if let templateDriver { body["Templating"] = ["Name": .string(templateDriver)] }
        return body
    }

    func run() async throws {
        guard let content = Terminal.bytes(of: file == "-" ? "/dev/stdin" : file) else {
            throw CommandFailure("cannot read \(file == "-" ? "the standard input" : file)")
        }
        let created = try await connection.connect().post("\(Kind.word)s", "create", body: try body(content))
        Terminal.line(created["ID"].string ?? "")
    }
}

struct FileLs<Kind: SharedFileKind>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "ls", abstract: "Lists the \(Kind.word)s.",
            discussion: "  weft \(Kind.word) ls --filter label=tier=db --format '{{.Name}}'", aliases: ["list"])
    }

    static var listing: Listing {
        Listing(
            table: Kind.isSecret
                ? #"table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}"#
                : #"table {{.ID}}\t{{.Name}}\t{{.CreatedAt}}\t{{.UpdatedAt}}"#,
            headings: [
                "CreatedAt": "CREATED", "Driver": "DRIVER", "ID": "ID", "Labels": "LABELS", "Name": "NAME", "UpdatedAt": "UPDATED",
            ])
    }

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: .shortAndLong, help: "Print ids alone.")
    var quiet = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("Only those that fit: id, label, name.", valueName: "key=value"))
    var filter: [String] = []
    @Option(help: ArgumentHelp("A Go template, \"table TEMPLATE\" or \"json\".", valueName: "template"))
    var format: String?

    func run() async throws {
        let files = try await connection.connect().get("\(Kind.word)s", query: try Filters(filter).query).array
        let now = Terminal.now()
        let rows = files.map { Self.row($0, now: now) }.sorted { ($0["Name"].string ?? "") < ($1["Name"].string ?? "") }
        Terminal.print(try Self.listing.render(rows, format: format, isQuiet: quiet))
    }

    /// One of them as a row; its fields in the order in which `json` prints them.
    static func row(_ file: TemplateValue, now: Int64) -> TemplateValue {
        func ago(_ field: String) -> TemplateValue {
            .string(file[field].string.flatMap { HumanTime.seconds($0) }.map { HumanTime.duration(now - $0) + " ago" } ?? "")
        }
        let labels = file["Spec"]["Labels"].object?.sortedEntries.map { "\($0.key)=\($0.value.string ?? "")" } ?? []
        var row: TemplateValue = ["CreatedAt": ago("CreatedAt")]
        if Kind.isSecret { row["Driver"] = "" }
        row["ID"] = .string(file["ID"].string ?? "")
        row["Labels"] = .string(labels.joined(separator: ","))
        row["Name"] = .string(file["Spec"]["Name"].string ?? "")
        row["UpdatedAt"] = ago("UpdatedAt")
        return row
    }
}

struct FileInspect<Kind: SharedFileKind>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "inspect",
            abstract: Kind.isSecret
                ? "Shows all that is known of secrets but what they hold." : "Shows all that is known of configs, their content among it.",
            discussion: "  weft \(Kind.word) inspect --pretty site")
    }

    @OptionGroup var connection: ConnectionOptions
    @Flag(help: "Print it for people.")
    var pretty = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "name"), completion: Kind.names)
    var names: [String]

    func validate() throws {
        if pretty, format != nil { throw ValidationError("--format is incompatible with --pretty") }
        if names.isEmpty { throw ValidationError("name a \(Kind.word)") }
    }

    /// Laid out as docker's.
    static var template: String {
        """
        ID:\t\t\t{{.ID}}
        Name:\t\t\t{{.Name}}
        {{- if .Labels }}
        Labels:
        {{- range $k, $v := .Labels }}
         - {{ $k }}{{if $v }}={{ $v }}{{ end }}
        {{- end }}{{ end }}
        Created at:            \t{{.CreatedAt}}
        Updated at:            \t{{.UpdatedAt}}\(Kind.isSecret ? "" : "\nData:\n{{.Data}}")
        """
    }

    static func value(_ file: TemplateValue) -> TemplateValue {
        var value: TemplateValue = [
            "ID": .string(file["ID"].string ?? ""), "Name": .string(file["Spec"]["Name"].string ?? ""), "Labels": file["Spec"]["Labels"],
            "CreatedAt": .string(HumanTime.spelled(file["CreatedAt"].string ?? "", zone: "utc")),
            "UpdatedAt": .string(HumanTime.spelled(file["UpdatedAt"].string ?? "", zone: "utc")),
        ]
        let data = (file["Spec"]["Data"].string ?? "").filter { $0 != "=" }
        value["Data"] = .string(String(decoding: Base64.decoded(unpadded: data) ?? [], as: UTF8.self))
        return value
    }

    func run() async throws {
        let connection = try connection.connect()
        try await Inspection.run(names, format: pretty ? Self.template : format) { name in
            let file = try await connection.get("\(Kind.word)s", name)
            return pretty ? Self.value(file) : file
        }
    }
}

struct FileRm<Kind: SharedFileKind>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "rm", abstract: "Removes \(Kind.word)s that no service uses.",
            discussion: "  weft \(Kind.word) rm old_one", aliases: ["remove"])
    }

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "name"), completion: Kind.names)
    var names: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await forEach(names) { try await connection.delete("\(Kind.word)s", $0) }
    }
}
