import ArgumentParser
import Foundation
import Testing
import WeftTemplate

@testable import weft

private func run(_ arguments: String...) throws -> RunCommand {
    try #require(try Weft.command(["run"] + arguments) as? RunCommand)
}

@Suite("Arguments of run")
struct RunArguments {
    @Test("the command begins at the first word, with or without --")
    func command() throws {
        #expect(try run("--name", "a1", "--network", "n", "--", "sh", "-c", "x").command == ["sh", "-c", "x"])
        let bare = try run("--name", "a1", "sh", "-c", "x", "--name", "b", "-d", "--", "y")
        #expect(bare.command == ["sh", "-c", "x", "--name", "b", "-d", "--", "y"])
        #expect(bare.name == "a1" && !bare.detach)
        #expect(try run("--", "--odd").command == ["--odd"])
        #expect(try run("--name=a1", "env").command == ["env"])
        #expect(try run("-eA=1", "-e", "B=2", "env").command == ["env"])
        #expect(try run("-w", "/srv", "ls").command == ["ls"])
    }

    @Test("without a command it is the shell; with another root file system, sh")
    func shell() throws {
        #expect(try run("--rootfs", "/srv").command == ["sh"])
        #expect(try run().command.count == 1)
    }

    @Test("flags combine as docker's do")
    func flags() throws {
        let interactive = try run("-it", "--rm", "sh")
        #expect(interactive.interactive && interactive.tty && interactive.rm && !interactive.detach)
        let all = try run("-dit", "sh")
        #expect(all.detach && all.interactive && all.tty && all.command == ["sh"])
        let host = try run("-h", "web", "-e", "A=1", "-eB=2", "hostname")
        #expect(host.hostname == "web" && host.env == ["A=1", "B=2"] && host.command == ["hostname"])
    }

    @Test("an unknown option is refused, not handed to the sandbox")
    func unknown() {
        #expect(throws: (any Error).self) { try run("--publish", "80:80", "sh") }
        #expect(throws: (any Error).self) { try run("-p", "80:80", "sh") }
        #expect(throws: (any Error).self) { try run("--name") }
    }

    @Test("networks with their address and aliases")
    func networks() throws {
        #expect(
            try run(
                "--network", "n1", "--network", "name=n2,alias=x,alias=y,ip=10.0.0.9,ip6=fd01::9", "--ip", "10.1.0.5", "--ip6", "fd00::5",
                "--network-alias", "db", "sh"
            ).networks() == [
                NetworkAttachment(network: "n1", ipv4: "10.1.0.5", ipv6: "fd00::5", aliases: ["db"]),
                NetworkAttachment(network: "n2", ipv4: "10.0.0.9", ipv6: "fd01::9", aliases: ["x", "y"]),
            ])
        #expect(throws: CommandFailure.self) { try run("--ip", "10.0.0.9", "sh").networks() }
        #expect(throws: CommandFailure.self) { try run("--ip6", "fd00::9", "sh").networks() }
        #expect(throws: CommandFailure.self) {
            try run("--network", "name=n,ip6=fd00::1", "--ip6", "fd00::2", "sh").networks()
        }
        #expect(throws: CommandFailure.self) {
            try run("--network", "name=n,ip=10.0.0.1", "--ip", "10.0.0.2", "sh").networks()
        }
        #expect(throws: CommandFailure.self) { try run("--network", "alias=x", "sh").networks() }
        #expect(throws: CommandFailure.self) { try run("--network", "name=n,speed=3", "sh").networks() }
    }

    @Test("the request's body")
    func body() throws {
        #expect(
            try run(
                "--name", "a1", "-h", "web", "-t", "-e", "A=1=2", "-w", "/srv", "--rootfs", "/r", "--dns", "9.9.9.9",
                "--rm",
                "--network", "n", "--ip", "10.0.0.9", "--", "sh", "-c", "true"
            ).body().json
                == #"{"Command":["sh","-c","true"],"Name":"a1","Hostname":"web","Env":["A=1=2"],"RootFS":"/r","#
                + #""WorkingDir":"/srv","Tty":true,"OpenStdin":false,"AutoRemove":true,"Dns":["9.9.9.9"],"#
                + #""Networks":[{"Network":"n","IPv4Address":"10.0.0.9","Aliases":[]}]}"#)
        #expect(throws: CommandFailure.self) { try run("-e", "=1", "sh").body() }
        #expect(throws: CommandFailure.self) { try run("--env-file", "/nonexistent/file", "sh").body() }
    }

    @Test(
        "what kept the command from starting decides the exit code",
        arguments: [
            ("command not found: nosuch", 127), ("cannot run /etc/passwd: Permission denied", 126),
            ("cannot run /x: No such file or directory", 126),
            ("cannot enter the working directory /nosuch: No such file or directory", 126),
            ("cannot open /dev/ptmx: No such device", 125),
        ])
    func exitCodes(text: String, code: Int32) {
        #expect(RunCommand.exitCode(startFailure: text) == code)
    }
}

@Test("exec: the sandbox, and its command with all its options")
func execArguments() throws {
    let exec = try #require(try Weft.command(["exec", "-it", "-e", "A=1", "a1", "ls", "-d", "/"]) as? ExecCommand)
    let parts = try exec.parts()
    #expect(parts.sandbox == "a1" && parts.command == ["ls", "-d", "/"] && exec.tty && !exec.detach)
    let dashed = try #require(try Weft.command(["exec", "a1", "--", "ls", "--", "x"]) as? ExecCommand)
    #expect(try dashed.parts().command == ["ls", "--", "x"])
    let leading = try #require(try Weft.command(["exec", "--", "a1", "ls"]) as? ExecCommand)
    #expect(try leading.parts().sandbox == "a1")
    let alone = try #require(try Weft.command(["exec", "a1"]) as? ExecCommand)
    #expect(throws: CommandFailure.self) { try alone.parts() }
}

@Test("the socket may be named before or behind the command")
func host() throws {
    let before = try #require(try Weft.command(["-H", "unix:///a.sock", "network", "ls"]) as? NetworkLs)
    #expect(before.connection.host == "unix:///a.sock")
    let behind = try #require(try Weft.command(["network", "ls", "--host=unix:///b.sock"]) as? NetworkLs)
    #expect(behind.connection.host == "unix:///b.sock")
    let run = try #require(try Weft.command(["-H", "unix:///a.sock", "run", "-d", "sh", "-H", "x"]) as? RunCommand)
    #expect(run.connection.host == "unix:///a.sock" && run.command == ["sh", "-H", "x"] && run.detach)
}

@Test(
    "commands with mistakes are refused before anything is asked",
    arguments: [
        ["node", "inspect", "--pretty", "--format", "x", "n"], ["node", "update", "--availability", "idle", "n"],
        ["swarm", "join", "h:2377"], ["swarm", "join-token", "manager"], ["swarm", "join-token", "boss"],
        ["network", "rm"],
        ["stop", "-t", "-1", "a"], ["stop"], ["network", "create"], ["nosuch"],
        ["swarm", "init", "--data-path-port", "70000"],
    ])
func refused(arguments: [String]) {
    #expect(throws: (any Error).self) { try Weft.command(arguments) }
}

@Test("every command has an example in its help")
func examples() {
    for name in [
        ["swarm", "init"], ["swarm", "join"], ["swarm", "join-token"], ["swarm", "leave"], ["node", "ls"],
        ["node", "inspect"],
        ["node", "rm"], ["node", "update"], ["network", "create"], ["network", "ls"], ["network", "inspect"],
        ["network", "rm"],
        ["network", "connect"], ["network", "disconnect"], ["run"], ["ps"], ["exec"], ["attach"], ["logs"], ["stop"],
        ["kill"], ["node", "ps"], ["service", "create"], ["service", "ls"], ["service", "ps"], ["service", "logs"], ["service", "inspect"],
        ["service", "scale"], ["service", "update"], ["service", "rollback"], ["service", "rm"], ["secret", "create"],
        ["secret", "ls"], ["secret", "inspect"], ["secret", "rm"], ["config", "create"], ["config", "ls"], ["config", "inspect"],
        ["config", "rm"], ["rm"], ["inspect"], ["info"], ["status"], ["version"],
    ] {
        var help = ""
        do {
            var command = try Weft.command(name + ["--help"])
            try command.run()
        } catch {
            help = Weft.fullMessage(for: error)
        }
        #expect(help.contains("  weft \(name.joined(separator: " "))"), "\(name)")
    }
}

@Test("logs: how many lines")
func tail() throws {
    func lines(_ arguments: String...) throws -> Int? {
        try #require(try Weft.command(["logs"] + arguments + ["a1"]) as? LogsCommand).lines()
    }
    #expect(try lines() == nil)
    #expect(try lines("--tail", "all") == nil)
    #expect(try lines("-n", "20") == 20)
    #expect(throws: CommandFailure.self) { try lines("--tail", "few") }
}

@Suite struct SuggestionTests {
    @Test(arguments: [
        (["netwrok", "ls"], "did you mean `weft network`?"), (["-H", "unix:///x", "nod", "ls"], "did you mean `weft node`?"),
        (["network", "lss"], "did you mean `weft network ls`?"), (["swarm", "leve"], "did you mean `weft swarm leave`?"),
        (["lab", "--help", "pu"], "did you mean `weft lab up`?"),
    ])
    func `a command that is misspelt is guessed`(arguments: [String], text: String) {
        #expect(Suggestion.text(for: arguments) == text)
    }

    @Test(arguments: [["network", "ls", "x"], ["frobnicate"], ["run", "netwrok"], []])
    func `what is like no command, or is none, is not guessed`(arguments: [String]) {
        #expect(Suggestion.text(for: arguments) == nil)
    }

    @Test(arguments: [
        (["node", "promote", "n1"], "Weft does not have `weft node promote` yet"),
        (["-H", "unix:///x", "stack", "deploy"], "Weft does not have `weft stack` yet"),
        (["frobnicate"], "there is no command `weft frobnicate`"), (["network", "frob", "x"], "there is no command `weft network frob`"),
    ])
    func `a command that there is not is called so`(arguments: [String], text: String) async {
        #expect(Suggestion.refusal(for: arguments)?.hasPrefix(text) == true)
        #expect(await Weft.execute(arguments) == 1)
    }

    @Test(arguments: [["network", "ls", "x"], ["network", "ls", "--frob"], ["run", "netwrok"], ["node", "rm"], []])
    func `other mistakes are the parser's to tell`(arguments: [String]) {
        #expect(Suggestion.refusal(for: arguments) == nil)
    }
}

@Suite struct MistakeTests {
    @Test(arguments: [
        (["run", "--network", "n", "--ip", "10.0.1.300", "sh"], "\"10.0.1.300\" for --ip:"),
        (["run", "--network", "n", "--ip6", "10.0.1.3", "sh"], "\"10.0.1.3\" for --ip6:"),
        (["run", "--network", "name=n,ip=fd00::1", "sh"], "\"fd00::1\" for ip in --network name=n,ip=fd00::1:"),
    ])
    func `an address that is none is told by its option`(arguments: [String], text: String) throws {
        let command = try #require(try Weft.command(arguments) as? RunCommand)
        let failure = #expect(throws: CommandFailure.self) { try command.body() }
        #expect(failure?.message.contains(text) == true && failure?.exitCode == 125)
    }

    @Test func `connect tells an address that is none by its option`() throws {
        let command = try #require(try Weft.command(["network", "connect", "--ip", "10.0.1.300", "n", "a1"]) as? NetworkConnect)
        let failure = #expect(throws: CommandFailure.self) { try command.attachment() }
        #expect(failure?.message.contains("for --ip:") == true)
    }

    @Test(arguments: [("0", "at least 1"), ("-1", "at least 1"), ("201", "at most 200")])
    func `a lab has hosts, and not too many`(count: String, text: String) {
        #expect {
            try Weft.command(["lab", "up", "--nodes=\(count)"])
        } throws: { Weft.message(for: $0).contains(text) }
    }

    @Test func `leaving tells which sandboxes have lost their networks`() {
        func sandbox(_ name: String, _ networks: TemplateValue) -> TemplateValue { ["Name": .string(name), "Networks": networks] }
        #expect(SwarmLeave.warning(for: []) == nil && SwarmLeave.warning(for: [sandbox("a", [:])]) == nil)
        #expect(SwarmLeave.warning(for: [sandbox("a", ["n": [:]])]) == "1 sandbox goes on without its networks: a")
        let many = (1...7).map { sandbox("a\($0)", ["n": [:]]) }
        #expect(SwarmLeave.warning(for: many + [sandbox("b", [:])]) == "7 sandboxes go on without their networks: a1, a2, a3, a4, a5, …")
    }
}

@Test("the README's commands are there")
func commandsOfTheReadme() throws {
    let readme = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("README.md")
    let text = try String(contentsOf: readme, encoding: .utf8)
    let lists = text.matches(of: #/`(?:weft )?(?:(swarm|node|network) )?([a-z-]+(?:\|[a-z-]+)+)`/#)
    #expect(lists.count >= 4, "the reader of the README sees nothing")
    for list in lists {
        var known = Weft.configuration.subcommands
        if let group = list.1 {
            known = try #require(known.first { $0.configuration.commandName == String(group) }).configuration.subcommands
        }
        for name in list.2.split(separator: "|") {
            #expect(known.contains { $0.configuration.commandName == String(name) }, "\(list.0) names \(name), which there is not")
        }
    }
}
