import ArgumentParser
import CBench
import FoundationEssentials
import Glibc
import NIOHTTP1
import WeftClient
import WeftModel
import WeftNet

/// weftd's socket, found as `weft` finds it.
func localWeftd() throws -> WeftClient {
    let host = getenv("WEFT_HOST").map { String(cString: $0) } ?? ""
    return try WeftClient(host: host.isEmpty ? WeftClient.defaultHost : host)
}

/// What of `GET /weft/v1/sandboxes/{name}` is used here.
struct SandboxAnswer: Decodable {
    struct Attachment: Decodable { let IPAddress: String }
    let Pid: Int
    let Networks: [String: Attachment]
}

/// Milliseconds, one for each sandbox that was made.
struct LatencySamples: Codable, Sendable {
    /// From the request that makes a sandbox until a ping from another host's sandbox is answered by it.
    var attach: [Double] = []
    /// The same, of sandboxes that are asked for at the same time.
    var attachAtOnce: [Double]? = []
    /// From the end of that request until its name resolves in that other sandbox.
    var name: [Double] = []
}

/// Runs on one lab host and prints its answer to a GET.
struct Ask: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Prints weftd's answer to a GET.", shouldDisplay: false)
    @Argument var path: String

    func run() async throws {
        print(try await localWeftd().call(.GET, path).text)
    }
}

/// Runs on one lab host: makes sandboxes one after another and watches from another host how soon they are there.
struct Latency: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency", abstract: "Measures attach and name latency.", shouldDisplay: false)
    @Option var network: String
    /// The namespace of a sandbox on another host.
    @Option var netns: String
    @Option var count: Int

    /// How many are asked for at the same time, and how often.
    static let atOnce = (count: 32, rounds: 3)

    func run() async throws {
        let weftd = try localWeftd()
        var samples = try await oneByOne(weftd)
        samples.attachAtOnce = try await atOnce(weftd)
        print(String(decoding: try JSONEncoder().encode(samples), as: UTF8.self))
    }

    private func pinger() throws -> Companion {
        try Companion([try ownPath(), "load", "probePing", "--netns", netns, "--cpu", "1"])
    }

    private func oneByOne(_ weftd: WeftClient) async throws -> LatencySamples {
        let program = try ownPath()
        let pinger = try pinger()
        let resolver = try Companion([
            program, "load", "probeName", "--netns", netns, "--cpu", "1", "--address", Constants.resolver.description,
        ])
        var samples = LatencySamples()
        // Removed at the end: a removal under way would be measured with the attach that follows it.
        let names = (0..<count).map { "bench-\(getpid())-\($0)" }
        for name in names {
            let begin = bench_now()
            try await Self.make(name, on: network, weftd)
            let created = bench_now()
            try resolver.write(line: name)
            let address = try await Self.address(of: name, on: network, weftd)
            try pinger.write(line: address)
            samples.attach.append(try Self.milliseconds(from: begin, to: pinger.readLine(), what: "ping of \(address)"))
            samples.name.append(
                try Self.milliseconds(from: created, to: resolver.readLine(), what: "look-up of \(name)"))
        }
        try await remove(names, weftd)
        return samples
    }

    /// As `oneByOne`, but the requests of a round are all made at once.
    private func atOnce(_ weftd: WeftClient) async throws -> [Double] {
        let network = network
        let pingers = try (0..<Self.atOnce.count).map { _ in try pinger() }
        var samples: [Double] = []
        for round in 0..<Self.atOnce.rounds {
            let names = pingers.indices.map { "bench-\(getpid())-\(round)-\($0)" }
            var begins = [UInt64](repeating: 0, count: names.count)
            try await withThrowingTaskGroup(of: (Int, UInt64, String).self) { group in
                for (index, name) in names.enumerated() {
                    group.addTask {
                        let begin = bench_now()
                        try await Self.make(name, on: network, weftd)
                        return (index, begin, try await Self.address(of: name, on: network, weftd))
                    }
                }
                for try await (index, begin, address) in group {
                    begins[index] = begin
                    try pingers[index].write(line: address)
                }
            }
            for (index, pinger) in pingers.enumerated() {
                let line = try pinger.readLine()
                samples.append(try Self.milliseconds(from: begins[index], to: line, what: "ping of \(names[index])"))
            }
            try await remove(names, weftd)
        }
        return samples
    }

    private static func make(_ name: String, on network: String, _ weftd: WeftClient) async throws {
        let body = #"{"Name":"\#(name)","Command":["sleep","3600"],"Networks":[{"Network":"\#(network)"}]}"#
        _ = try await weftd.call(.POST, "/weft/v1/sandboxes", body: Array(body.utf8))
    }

    private static func address(of name: String, on network: String, _ weftd: WeftClient) async throws -> String {
        let sandbox = try await weftd.call(.GET, "/weft/v1/sandboxes/\(name)").decode(SandboxAnswer.self)
        guard let address = sandbox.Networks[network]?.IPAddress else { throw BenchError("\(name) has no address") }
        return address
    }

    /// And waits until what the removals leave to do is done.
    private func remove(_ names: [String], _ weftd: WeftClient) async throws {
        for name in names { _ = try await weftd.call(.DELETE, "/weft/v1/sandboxes/\(name)", query: [("force", "1")]) }
        try await Task.sleep(for: .seconds(2))
    }

    private static func milliseconds(from begin: UInt64, to line: String, what: String) throws -> Double {
        guard let end = UInt64(line), end >= begin else { throw BenchError("\(what): \(line)") }
        return Double(end - begin) / 1e6
    }
}

/// Where this program lies.
func ownPath() throws -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    guard count > 0 else { throw BenchError("cannot tell where weft-bench lies") }
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
