import ArgumentParser
import FoundationEssentials
import Glibc
import WeftLinux

/// The benchmark itself.
struct Measure: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measure", abstract: "Measures the hosts' own path, Docker's layout and Weft (the default).",
        discussion: """
            Starts a lab of two hosts, makes Docker's layout beside it in the same hosts and a host that only routes between two
            containers, and measures all of them in rounds of shuffled order. Writes <output>/<name>.json and <output>/latest.md. After an interruption, `weft lab down`
            removes what is left of the lab.
            """)

    @Flag(help: "Two rounds of one second each, and few sandboxes: to see that everything works.") var quick = false
    @Flag(help: "Leave Weft out: two hosts of the benchmark's own instead of a lab.") var withoutWeft = false
    @Flag(help: "Measure an encrypted network of Weft's as well.") var encrypted = false
    @Flag(help: "Measure wireguard-go and nebula between the hosts as well (Debian's wireguard-go, wireguard-tools and nebula).")
    var peers = false
    @Option(help: "Number of rounds.") var rounds: Int?
    @Option(help: "Seconds of each TCP stream; the other loads take half of it.") var seconds: Int?
    @Option(help: "Number of sandboxes for the latencies.") var sandboxes: Int?
    @Option(help: "Name of the stored run; the date if left out.") var name: String?
    @Option(help: "Directory to write to.") var output = "docs/benchmarks"
    @Option(help: "The weft command; the one beside this program if left out.") var weft: String?

    func validate() throws {
        if withoutWeft && encrypted { throw ValidationError("--encrypted is a network of Weft's, which --without-weft leaves out") }
        for (option, value) in [("rounds", rounds), ("seconds", seconds), ("sandboxes", sandboxes)] {
            if let value, !(1...10_000).contains(value) { throw ValidationError("--\(option) must be 1 to 10000") }
        }
    }

    func run() async throws {
        guard geteuid() == 0 else { throw BenchError("weft-bench makes network namespaces: run it as root") }
        var results = try emptyResults()
        if results.loadBefore > 0.5 {
            note("the machine is busy (load \(decimal(results.loadBefore, 1))): the figures will say little")
        }
        let program = try ownPath()
        let beside = program.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/weft"
        let lab = withoutWeft ? nil : try Lab(weft: weft ?? beside, program: program, encrypts: encrypted)
        let own = lab == nil ? try OwnHosts() : nil
        let hosts = lab?.hosts ?? own?.hosts ?? []
        let docker = try DockerLayout(on: hosts, mtu: lab?.mtu ?? 1450)
        let routed = try RoutedHost(mtu: lab?.mtu ?? 1450)
        let between = Pair(client: hosts[0].netns, server: hosts[1].netns, address: hosts[1].address)
        let others = peers ? try TunnelPeers(on: hosts) : nil
        let remote =
            [(Variant.hosts, between), (.docker, docker.pair)] + (lab.map { [(Variant.weft, $0.pair)] } ?? [])
            + (lab?.encryptedPair.map { [(Variant.encrypted, $0)] } ?? [])
            + (others.map { [(.wireguard, $0.wireguard), (.nebula, $0.nebula)] } ?? [])
        let local = [(Variant.routed, routed.pair)] + (lab.map { [(Variant.weft, $0.localPair)] } ?? [])
        let throughput = Throughput(program: program, seconds: results.seconds)
        for round in 1...results.rounds {
            for profile in Profile.allCases.shuffled() {
                for host in hosts { try profile.apply(to: host) }
                for (variant, pair) in (profile == .local ? local : remote).shuffled() {
                    note("round \(round) of \(results.rounds): \(profile.rawValue), \(variant.rawValue)")
                    results.add(try throughput.measure(pair), profile, variant)
                }
            }
        }
        for host in hosts { try Profile.gso.apply(to: host) }
        if let lab {
            note("latencies")
            results.latency = try lab.latency(count: sandboxes ?? (quick ? 10 : 100))
            results.residentBytes = try lab.residentBytes()
        }
        // The hosts and the layout live until here.
        withExtendedLifetime((lab, own, docker, routed, others)) {}
        let report = Report(results: results)
        print(report.plain)
        try store(results, report)
    }

    private func emptyResults() throws -> Results {
        let date = String(Date().formatted(.iso8601).prefix(10))
        let processors = try FileSystem.readText("/proc/cpuinfo").split(separator: "\n")
        let model = processors.first { $0.hasPrefix("model name") }?.split(separator: ":").last
        let kernel = try FileSystem.readText("/proc/sys/kernel/osrelease").split(separator: "\n").first
        return Results(
            name: name ?? date, date: date, kernel: String(kernel ?? "unknown"),
            processor: model.map { $0.split(separator: " ").joined(separator: " ") } ?? "unknown",
            processors: processors.count { $0.hasPrefix("processor") },
            loadBefore: Double(try FileSystem.readText("/proc/loadavg").split(separator: " ").first ?? "") ?? 0,
            rounds: rounds ?? (quick ? 2 : 7),
            seconds: seconds ?? (quick ? 1 : 2))
    }

    private func store(_ results: Results, _ report: Report) throws {
        try FileSystem.makeDirectory(output)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(results).write(to: URL(filePath: "\(output)/\(results.name).json"))
        try Data(report.markdown.utf8).write(to: URL(filePath: "\(output)/latest.md"))
        note("stored \(output)/\(results.name).json and \(output)/latest.md")
    }

    /// Shows progress on standard error.
    private func note(_ text: String) {
        let bytes = Array("\(text)\n".utf8)
        _ = Glibc.write(2, bytes, bytes.count)
    }
}
