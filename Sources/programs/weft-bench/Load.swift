import ArgumentParser
import CBench
import Glibc
import WeftNet

/// One load generator, in a process of its own: what `Measure` starts on both sides.
struct Load: ParsableCommand {
    enum Kind: String, ExpressibleByArgument {
        case serveEcho, serveAccept, serveSink, driveEcho, driveConnect, driveFlood, drivePing
        /// Reads addresses, or DNS names, from standard input, line by line, and answers each with the time of the first reply.
        case probePing, probeName
    }

    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Runs one load generator.", shouldDisplay: false)

    @Argument var kind: Kind
    @Option var netns: String?
    @Option var cpu: Int32 = 0
    @Option var address = "0.0.0.0"
    @Option var port: UInt16 = 5300
    @Option var milliseconds: UInt64 = 1000

    func run() throws {
        guard let address = IPv4Address(address)?.rawValue else { throw BenchError("\(address) is no IPv4 address") }
        try check(bench_place(netns, cpu))
        let ns = milliseconds * 1_000_000
        var count: UInt64 = 0
        switch kind {
        case .serveEcho: try check(bench_serve_echo(address, port))
        case .serveAccept: try check(bench_serve_accept(address, port))
        case .serveSink:
            try check(bench_serve_sink(address, port, ns, &count))
            print(Double(count) / (Double(ns) / 1e9))
        case .driveConnect:
            try check(bench_drive_connect(address, port, ns, &count))
            print(Double(count) / (Double(ns) / 1e9))
        case .driveFlood:
            try check(bench_drive_flood(address, port, ns, &count))
            print(Double(count) / (Double(ns) / 1e9))
        case .driveEcho: try printPercentiles { bench_drive_echo(address, port, ns, 1000, $0, $1, $2) }
        case .drivePing: try printPercentiles { bench_drive_ping(address, ns, 10, $0, $1, $2) }
        case .probePing:
            try answer { line, answered in
                bench_probe_ping(IPv4Address(line)?.rawValue ?? 0, 500_000, 5_000_000_000, &answered)
            }
        case .probeName:
            try answer { line, answered in
                let query = dnsQuery(line)
                return bench_probe_dns(address, 53, query, query.count, 1_000_000, 5_000_000_000, &answered)
            }
        }
    }

    private func printPercentiles(_ drive: (UnsafeMutablePointer<UInt32>, Int, UnsafeMutablePointer<Int>) -> Int32) throws {
        var samples = [UInt32](repeating: 0, count: 1 << 20)
        var count = 0
        try check(samples.withUnsafeMutableBufferPointer { $0.baseAddress.map { drive($0, 1 << 20, &count) } ?? 0 })
        guard count > 0 else { throw BenchError("no message was exchanged") }
        print(Double(samples[count / 2]) / 1000, Double(samples[min(count - 1, count * 99 / 100)]) / 1000)
    }

    private func answer(_ probe: (String, inout UInt64) -> Int32) throws {
        while let line = readLine() {
            var answered: UInt64 = 0
            let code = probe(line, &answered)
            print(code == 0 ? String(answered) : "failed \(String(cString: strerror(-code)))")
            fflush(nil)
        }
    }

    private func check(_ code: Int32) throws {
        if code < 0 { throw BenchError("\(kind.rawValue): \(String(cString: strerror(-code)))") }
    }
}

/// A DNS query for the A record of `name` (RFC 1035, 4.1).
func dnsQuery(_ name: String) -> [UInt8] {
    var query: [UInt8] = [0x77, 0x65, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    for label in name.split(separator: ".") { query += [UInt8(truncatingIfNeeded: label.utf8.count)] + label.utf8 }
    return query + [0, 0, 1, 0, 1]
}
