// The benchmark: makes hosts, runs Weft's path, the hosts' own and Docker's layout side by side in one run, and writes figures. Asserts
// nothing: tests never depend on speed.
import ArgumentParser

/// Measures Weft beside Docker's layout and the hosts' own path, all in one run on one machine.
@main
struct WeftBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft-bench",
        abstract: "Measures Weft beside Docker's overlay layout and the hosts' own path. Needs root.",
        subcommands: [Measure.self, Load.self, Ask.self, Latency.self, ManagerLoad.self, ServiceLoad.self, Balance.self, Ingress.self],
        defaultSubcommand: Measure.self)
}
