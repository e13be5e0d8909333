import FoundationEssentials
import WeftJSON
import WeftLinux
import WeftNet

/// What is compared.
enum Variant: String, CaseIterable, Codable, Sendable {
    /// Host to host: the underlay itself.
    case hosts = "U"
    /// Containers of one host over veths that the host routes between.
    case routed = "R"
    /// Docker's layout.
    case docker = "A"
    case weft = "W"
    /// Weft on an encrypted network.
    case encrypted = "E"
    /// WireGuard in user space (wireguard-go), between the hosts.
    case wireguard = "G"
    /// Nebula, with AES, between the hosts.
    case nebula = "N"
}

enum Metric: String, CaseIterable, Codable, Sendable {
    case up, down, four, cpu, rtt50, rtt99, ping, packets, connections

    var title: String {
        switch self {
        case .up: "TCP up Gb/s"
        case .down: "TCP down Gb/s"
        case .four: "4 TCP Gb/s"
        case .cpu: "CPU s/GB"
        case .rtt50: "RR p50 µs"
        case .rtt99: "RR p99 µs"
        case .ping: "ping p50 µs"
        case .packets: "UDP kpps"
        case .connections: "conn k/s"
        }
    }

    /// Whether less is better.
    var isBetterBelow: Bool { [.cpu, .rtt50, .rtt99, .ping].contains(self) }

    /// Divides a raw value for showing.
    var unit: Double {
        switch self {
        case .up, .down, .four: 1e9
        case .cpu, .rtt50, .rtt99, .ping: 1
        case .packets, .connections: 1e3
        }
    }
}

/// Two ends to measure between: the client is on the first host, the server on the second.
struct Pair: Sendable {
    let client: String
    let server: String
    let address: IPv4Address
    /// What the client asks for instead of the server's own address.
    var service: IPv4Address?
}

/// Measures one pair. The client is pinned to CPU 0, the server to CPU 1.
struct Throughput {
    let program: String
    let seconds: Int

    func measure(_ pair: Pair) throws -> [Metric: Double] {
        var values: [Metric: Double] = [:]
        let before = try Self.busySeconds()
        let up = try stream(pair, reverse: false)
        values[.up] = up
        // Of the whole machine, as the tunnels' work is spread over it.
        values[.cpu] = (try Self.busySeconds() - before) / (up * Double(seconds) / 8e9)
        values[.four] = try stream(pair, reverse: false, streams: 4)
        values[.down] = try stream(pair, reverse: true)
        (values[.rtt50], values[.rtt99]) = try requests(pair)
        values[.ping] = try percentiles(try run(client(pair, "drivePing"))).p50
        values[.packets] = try flood(pair)
        values[.connections] = try connections(pair)
        return values
    }

    /// Microseconds of a request of 64 bytes and its answer.
    func requests(_ pair: Pair) throws -> (p50: Double, p99: Double) {
        try percentiles(try drive(pair, serve: "serveEcho", drive: "driveEcho"))
    }

    /// Connections a second that are made and reset.
    func connections(_ pair: Pair) throws -> Double {
        try number(try drive(pair, serve: "serveAccept", drive: "driveConnect"))
    }

    private struct IperfReport: Decodable {
        struct End: Decodable {
            struct Sum: Decodable { let bits_per_second: Double }
            let sum_received: Sum?
        }
        let end: End?
        let error: String?
    }

    /// Bits a second; `reverse`: from the server.
    func stream(_ pair: Pair, reverse: Bool, streams: Int = 1) throws -> Double {
        let server = try Companion(
            inside(pair.server, Self.pinned(1) + ["iperf3", "--server", "--one-off", "--forceflush", "--port", "5201"]))
        while try !server.readLine().contains("listening") {}
        let client =
            [
                "iperf3", "--client", "\(pair.service ?? pair.address)", "--port", "5201", "--time", "\(seconds)", "--json",
                "--parallel", "\(streams)",
            ] + (reverse ? ["--reverse"] : [])
        let text = try run(inside(pair.client, ["timeout", "\(seconds + 15)"] + Self.pinned(0) + client))
        let report = try JSONText.decode(IperfReport.self, from: text.utf8)
        guard let sum = report.end?.sum_received else { throw BenchError("iperf3 failed: \(report.error ?? "no sum")") }
        return sum.bits_per_second
    }

    /// Seconds that all CPUs together have worked since the machine started, interrupts included.
    private static func busySeconds() throws -> Double {
        let line = try FileSystem.readText("/proc/stat").split(separator: "\n").first ?? ""
        let ticks = line.split(separator: " ").dropFirst().compactMap { Double($0) }
        guard ticks.count >= 7 else { throw BenchError("/proc/stat has no line of all CPUs") }
        // User, nice, system, then idle and waiting, then interrupts.
        return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / 100
    }

    /// On one CPU and before everything else, as the other load generators.
    private static func pinned(_ cpu: Int) -> [String] { ["nice", "-n", "-20", "taskset", "-c", "\(cpu)"] }

    private func load(_ kind: String, in netns: String, cpu: Int, _ address: IPv4Address, milliseconds: Int) -> [String] {
        [
            program, "load", kind, "--netns", netns, "--cpu", "\(cpu)", "--address", "\(address)", "--milliseconds",
            "\(milliseconds)",
        ]
    }

    /// The driver's line.
    private func drive(_ pair: Pair, serve: String, drive: String) throws -> String {
        let server = try Companion(load(serve, in: pair.server, cpu: 1, pair.address, milliseconds: 0))
        guard try server.readLine() == "ready" else { throw BenchError("\(serve) did not start") }
        return try Companion(client(pair, drive)).readLine()
    }

    private func client(_ pair: Pair, _ kind: String) -> [String] {
        load(kind, in: pair.client, cpu: 0, pair.service ?? pair.address, milliseconds: seconds * 500)
    }

    private func percentiles(_ line: String) throws -> (p50: Double, p99: Double) {
        let values = line.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
        guard values.count == 2 else { throw BenchError("a client of requests and responses said nothing useful") }
        return (values[0], values[1])
    }

    /// Packets a second that the receiver counted.
    private func flood(_ pair: Pair) throws -> Double {
        let sink = try Companion(load("serveSink", in: pair.server, cpu: 1, pair.address, milliseconds: seconds * 500))
        guard try sink.readLine() == "ready" else { throw BenchError("the UDP receiver did not start") }
        let source = try Companion(
            load("driveFlood", in: pair.client, cpu: 0, pair.address, milliseconds: seconds * 500 + 200))
        _ = try source.readLine()
        return try number(try sink.readLine())
    }
}

/// The number a load generator printed.
private func number(_ line: String) throws -> Double {
    guard let value = Double(line) else { throw BenchError("a load generator said \"\(line)\"") }
    return value
}
