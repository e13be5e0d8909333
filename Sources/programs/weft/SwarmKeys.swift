import ArgumentParser
import WeftTemplate

struct SwarmKeys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Shows or renews the keys that networks are encrypted with.",
        discussion: """
            Every node makes its own keys for each epoch. With --rotate another epoch begins, as soon as all nodes that are up have
            come to the present one; no packet is lost.

              weft swarm keys --rotate
              weft swarm update --key-rotation 1h
            """)

    @OptionGroup var connection: ConnectionOptions
    @Flag(help: "Begin another epoch.")
    var rotate = false
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?

    func run() async throws {
        let connection = try connection.connect()
        if rotate {
            try await connection.updateSwarm(rotating: "rotateDataPathKeys")
            if format == nil { Terminal.print("Successfully asked for new keys of the data path.\n\n") }
        }
        let keys = try await connection.get("weft", "v1", "swarm", "keys")
        guard let format else { return Terminal.print(Self.text(keys)) }
        Terminal.print(try Inspection.render([keys], format: format))
    }

    static func text(_ keys: TemplateValue) -> String {
        let seconds = keys["RotationSeconds"].int ?? 0
        var text = """
            Epoch:               \(keys["Epoch"].int ?? 0)
            Since:               \(HumanTime.spelled(keys["Since"].string ?? ""))
            Rotation:            every \(interval(seconds))\((keys["RotationPending"].bool ?? false) ? ", another epoch is about to begin" : "")
            Encrypted networks:  \(keys["EncryptedNetworks"].int ?? 0)

            """
        guard (keys["EncryptedNetworks"].int ?? 0) > 0 else { return text }
        let behind = behind(keys)
        text += behind.isEmpty ? "Nodes behind:        none\n" : "Nodes behind:\n" + behind.map { "  \($0)\n" }.joined()
        return text
    }

    /// A sentence for each node that is not ready for the epoch.
    private static func behind(_ keys: TemplateValue) -> [String] {
        let epoch = keys["Epoch"].int ?? 0
        return keys["Nodes"].array.compactMap { node in
            let ready = node["ReadyEpoch"].int ?? 0
            guard ready < epoch else { return nil }
            let name = node["Hostname"].string.flatMap { $0.isEmpty ? nil : $0 } ?? node["ID"].string ?? ""
            let state = node["State"].string ?? ""
            if state != "ready" { return "\(name): the node is \(state)" }
            if (node["StatedEpoch"].int ?? 0) >= epoch { return "\(name): has its keys, and is not ready for those of all others" }
            return ready > 0 ? "\(name): is at epoch \(ready)" : "\(name): has stated no keys; `weft status` on it may say why"
        }
    }

    private static func interval(_ seconds: Int64) -> String {
        switch seconds {
        case let whole where whole % 3600 == 0: "\(whole / 3600) h"
        case let whole where whole % 60 == 0: "\(whole / 60) min"
        default: "\(seconds) s"
        }
    }
}
