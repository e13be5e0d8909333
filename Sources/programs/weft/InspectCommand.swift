import ArgumentParser
import WeftClient
import WeftTemplate

struct InspectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows all that is known of sandboxes, networks or nodes.",
        discussion: "  weft inspect a1 --format '{{(index .Networks \"my_net\").IPAddress}}'")

    enum Kind: String, CaseIterable, ExpressibleByArgument { case sandbox, network, node }

    @OptionGroup var connection: ConnectionOptions
    @Option(
        name: [.customShort("f", allowingJoined: true), .long],
        help: ArgumentHelp("A Go template or \"json\".", valueName: "template"))
    var format: String?
    @Option(help: "Look for this kind only: sandbox, network or node.")
    var type: Kind?
    @Argument(help: ArgumentHelp("Names or ids.", valueName: "name"), completion: .sandboxNames)
    var names: [String]

    func run() async throws {
        let connection = try connection.connect()
        try await Inspection.run(names, format: format) { try await find($0, connection) }
    }

    private func find(_ name: String, _ connection: Connection) async throws -> TemplateValue {
        for kind in type.map({ [$0] }) ?? Kind.allCases {
            do {
                switch kind {
                case .sandbox: return try await connection.sandbox(name)
                case .network: return try await connection.get("networks", name)
                case .node: return try await connection.get("nodes", connection.node(name))
                }
            } catch let error as ClientError {
                // 404: not there; 503: this node is no manager and knows no nodes.
                guard let status = error.status, type == nil, status == 404 || status == 503 else { throw error }
            }
        }
        throw CommandFailure("no such object: \(name)")
    }
}
