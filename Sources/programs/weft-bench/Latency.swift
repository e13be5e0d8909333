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

    func run() async throws {
        let weftd = try localWeftd()
        let program = try ownPath()
        let pinger = try Companion([program, "load", "probePing", "--netns", netns, "--cpu", "1"])
        let resolver = try Companion([
            program, "load", "probeName", "--netns", netns, "--cpu", "1", "--address", Constants.resolver.description,
        ])
        var samples = LatencySamples()
        // Removed at the end: a removal under way would be measured with the attach that follows it.
        let names = (0..<count).map { "bench-\(getpid())-\($0)" }
        for name in names {
            let body = #"{"Name":"\#(name)","Command":["sleep","3600"],"Networks":[{"Network":"\#(network)"}]}"#
            let begin = bench_now()
            _ = try await weftd.call(.POST, "/weft/v1/sandboxes", body: Array(body.utf8))
            let created = bench_now()
            try resolver.write(line: name)
            let sandbox = try await weftd.call(.GET, "/weft/v1/sandboxes/\(name)").decode(SandboxAnswer.self)
            guard let address = sandbox.Networks[network]?.IPAddress else { throw BenchError("\(name) has no address") }
            try pinger.write(line: address)
            samples.attach.append(try Self.milliseconds(from: begin, to: pinger.readLine(), what: "ping of \(address)"))
            samples.name.append(
                try Self.milliseconds(from: created, to: resolver.readLine(), what: "look-up of \(name)"))
        }
        for name in names { _ = try await weftd.call(.DELETE, "/weft/v1/sandboxes/\(name)", query: [("force", "1")]) }
        print(String(decoding: try JSONEncoder().encode(samples), as: UTF8.self))
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
