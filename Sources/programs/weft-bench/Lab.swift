import FoundationEssentials
import WeftJSON
import WeftLinux
import WeftNet

/// A swarm of two lab hosts with one network and a sandbox on each host.
final class Lab {
    private static let network = "bench"
    private static let encryptedNetwork = "bench-encrypted"
    private let weft: String
    private let program: String
    /// Hold the hosts' namespaces open, and tell where they are.
    private let anchors: [Companion]
    let hosts: [BenchHost]
    let mtu: Int
    /// From the sandbox on the first host to the one on the second.
    let pair: Pair
    /// From the same sandbox to another one on its host.
    let localPair: Pair
    /// As `pair`, on an encrypted network; nil where there is to be none.
    let encryptedPair: Pair?

    private struct StatusAnswer: Decodable {
        struct Underlay: Decodable {
            let Interface: String
            let Address: String
            let MTU: Int
        }
        let Underlay: Underlay?
    }

    init(weft: String, program: String, encrypts: Bool) throws {
        self.weft = weft
        self.program = program
        try run([weft, "lab", "up", "--nodes", "2"])
        do {
            anchors = try (1...2).map {
                try Companion([weft, "lab", "exec", "\($0)", "--", "sh", "-c", "echo $$; exec cat"])
            }
            var hosts: [BenchHost] = []
            var mtu = 1500
            for (index, anchor) in anchors.enumerated() {
                let pid = try anchor.readLine()
                let status = try Self.ask(weft, program, index + 1, "/weft/v1/status", StatusAnswer.self)
                guard let underlay = status.Underlay, let address = IPv4Address(underlay.Address) else {
                    throw BenchError("weftd of lab host \(index + 1) has no underlay; see its log")
                }
                hosts.append(BenchHost(netns: "/proc/\(pid)/ns/net", interface: underlay.Interface, address: address))
                mtu = underlay.MTU
            }
            self.hosts = hosts
            self.mtu = mtu - MTU.vxlanOverheadIPv4
            let pairs = try Self.makeSandboxes(weft, program, Self.network, "10.77.0.0/16", ["--opt", "encrypted=false"], on: [1, 2, 1])
            (pair, localPair) = (pairs[0], pairs[1])
            encryptedPair = encrypts ? try Self.makeEncrypted(weft, program) : nil
        } catch {
            _ = try? run([weft, "lab", "down"])
            throw error
        }
    }

    deinit { _ = try? run([weft, "lab", "down"]) }

    private static func onHost(_ weft: String, _ host: Int, _ arguments: [String]) throws -> String {
        try run([weft, "lab", "exec", "\(host)", "--"] + arguments)
    }

    private static func ask<Answer: Decodable>(
        _ weft: String, _ program: String, _ host: Int, _ path: String, _ type: Answer.Type
    ) throws -> Answer {
        let text = try onHost(weft, host, [program, "ask", path])
        return try JSONText.decode(type, from: text.utf8)
    }

    private static func makeEncrypted(_ weft: String, _ program: String) throws -> Pair {
        let pair = try makeSandboxes(weft, program, encryptedNetwork, "10.78.0.0/16", ["--opt", "encrypted"], on: [1, 2])[0]
        // Until both hosts have each other's keys.
        guard try run(inside(pair.client, ["ping", "-n", "-c", "1", "-i", "0.2", "-w", "60", "\(pair.address)"])).contains(" 1 received")
        else {
            throw BenchError("the hosts of the lab have no keys for each other; see `weft lab exec 1 -- weft status`")
        }
        return pair
    }

    /// A network and sandboxes on these hosts. Returns the way from the first to each of the others.
    private static func makeSandboxes(
        _ weft: String, _ program: String, _ network: String, _ subnet: String, _ options: [String] = [], on hosts: [Int]
    ) throws -> [Pair] {
        let create = ["network", "create", "--driver", "overlay", "--attachable", "--subnet", subnet] + options + [network]
        _ = try onHost(weft, 1, [weft] + create)
        var ends: [(netns: String, address: IPv4Address)] = []
        for (index, host) in hosts.enumerated() {
            let name = "\(network)-\(index + 1)"
            _ = try onHost(
                weft, host, [weft, "run", "--detach", "--name", name, "--network", network, "--", "sleep", "86400"])
            let sandbox = try ask(weft, program, host, "/weft/v1/sandboxes/\(name)", SandboxAnswer.self)
            guard let text = sandbox.Networks[network]?.IPAddress, let address = IPv4Address(text), sandbox.Pid > 0
            else {
                throw BenchError("sandbox \(name) does not run; see `weft lab exec \(host) -- weft logs \(name)`")
            }
            ends.append(("/proc/\(sandbox.Pid)/ns/net", address))
        }
        return ends.dropFirst().map { Pair(client: ends[0].netns, server: $0.netns, address: $0.address) }
    }

    func latency(count: Int) throws -> LatencySamples {
        let text = try Self.onHost(
            weft, 1, [program, "latency", "--network", Self.network, "--netns", pair.server, "--count", "\(count)"])
        return try JSONText.decode(LatencySamples.self, from: text.utf8)
    }

    /// Resident bytes of weftd on each host.
    func residentBytes() throws -> [Int] {
        let daemons = try FileSystem.list("/proc").filter { pid in
            Int(pid) != nil && (try? FileSystem.readText("/proc/\(pid)/comm")) == "weftd\n"
        }
        return try hosts.map { host in
            let identity = try NetworkNamespace(path: host.netns).identity()
            let pid = daemons.first { (try? NetworkNamespace(path: "/proc/\($0)/ns/net").identity()) == identity }
            guard let pid else { throw BenchError("no weftd runs in \(host.netns)") }
            let line = try FileSystem.readText("/proc/\(pid)/status").split(separator: "\n").first {
                $0.hasPrefix("VmRSS:")
            }
            guard let kilobytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
            else {
                throw BenchError("cannot read the memory of weftd, process \(pid)")
            }
            return kilobytes * 1024
        }
    }
}
