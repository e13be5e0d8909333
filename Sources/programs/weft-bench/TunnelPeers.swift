import FoundationEssentials
import WeftLinux
import WeftNet

/// Other programs that encrypt between the same two hosts, as their users have them: a device on each host, and the program's process behind it.
/// Both ends are the hosts themselves, which spares these the way to a container that Weft's networks have.
final class TunnelPeers {
    private let processes: [Companion]
    private let directory: String
    let wireguard: Pair
    let nebula: Pair

    private static let devices = ["wbwg", "wbnebula"]

    /// - Parameter hosts: two of them.
    init(on hosts: [BenchHost]) throws {
        directory = "/tmp/weft-bench-peers-\(ProcessInfo.processInfo.processIdentifier)"
        try FileSystem.makeDirectory(directory)
        Self.remove(hosts)
        var processes: [Companion] = []
        do {
            processes += try Self.makeWireGuard(hosts, directory)
            processes += try Self.makeNebula(hosts, directory)
        } catch {
            _ = try? run(["rm", "-rf", directory])
            throw error
        }
        self.processes = processes
        wireguard = Pair(client: hosts[0].netns, server: hosts[1].netns, address: Self.address(77, 1))
        nebula = Pair(client: hosts[0].netns, server: hosts[1].netns, address: Self.address(78, 1))
        for pair in [wireguard, nebula] {
            let answer = try run(inside(pair.client, ["ping", "-n", "-c", "1", "-i", "0.2", "-w", "30", "\(pair.address)"]))
            guard answer.contains(" 1 received") else {
                throw BenchError("\(pair.address) does not answer through the other program's tunnel")
            }
        }
    }

    deinit {
        _ = try? run(["rm", "-rf", directory])
        withExtendedLifetime(processes) {}
    }

    /// Of a host in the benchmark's range for other tunnels (RFC 2544).
    private static func address(_ net: UInt32, _ host: Int) -> IPv4Address {
        IPv4Address(rawValue: 0xc613_0000 + net << 8 + UInt32(host) + 1)
    }

    private static func remove(_ hosts: [BenchHost]) {
        for host in hosts {
            for device in devices { _ = try? run(inside(host.netns, ["ip", "link", "del", device])) }
        }
    }

    private static func makeWireGuard(_ hosts: [BenchHost], _ directory: String) throws -> [Companion] {
        var keys: [(own: String, shown: String)] = []
        for index in hosts.indices {
            let key = try run(["wg", "genkey"])
            let file = "\(directory)/wg\(index).key"
            try Data(key.utf8).write(to: URL(filePath: file))
            keys.append((file, try run(["sh", "-c", "wg pubkey < \(file)"]).filter { !$0.isWhitespace }))
        }
        var processes: [Companion] = []
        for (index, host) in hosts.enumerated() {
            let device = devices[0]
            // Its control socket is called as the device, which both hosts have: a directory of sockets for each.
            let sockets = "\(directory)/sockets\(index)"
            try FileSystem.makeDirectory(sockets)
            func apart(_ arguments: [String]) -> [String] {
                inside(
                    host.netns,
                    [
                        "unshare", "--mount", "sh", "-c",
                        "mkdir -p /var/run/wireguard && mount --bind \(sockets) /var/run/wireguard && exec \"$@\"", "sh",
                    ] + arguments)
            }
            processes.append(try Companion(apart(["wireguard-go", "--foreground", device])))
            try awaitDevice(device, host)
            let other = 1 - index
            try run(
                apart([
                    "wg", "set", device, "listen-port", "51820", "private-key", keys[index].own, "peer", keys[other].shown, "allowed-ips",
                    "\(address(77, other))/32", "endpoint", "\(hosts[other].address):51820",
                ]))
            try run(inside(host.netns, ["ip", "addr", "add", "\(address(77, index))/24", "dev", device]))
            try run(inside(host.netns, ["ip", "link", "set", device, "mtu", "1420", "up"]))
        }
        return processes
    }

    private static func makeNebula(_ hosts: [BenchHost], _ directory: String) throws -> [Companion] {
        func inDirectory(_ command: String) throws { try run(["sh", "-c", "cd \(directory) && \(command)"]) }
        try inDirectory("nebula-cert ca -name bench")
        var processes: [Companion] = []
        for (index, host) in hosts.enumerated() {
            let other = 1 - index
            try inDirectory("nebula-cert sign -name host\(index) -ip \(address(78, index))/24")
            let configuration = """
                pki: {ca: \(directory)/ca.crt, cert: \(directory)/host\(index).crt, key: \(directory)/host\(index).key}
                static_host_map: {"\(address(78, other))": ["\(hosts[other].address):4242"]}
                lighthouse: {am_lighthouse: false}
                listen: {host: "\(host.address)", port: 4242}
                tun: {dev: \(devices[1]), mtu: 1412}
                cipher: aes
                logging: {level: error}
                firewall:
                  outbound: [{port: any, proto: any, host: any}]
                  inbound: [{port: any, proto: any, host: any}]

                """
            try Data(configuration.utf8).write(to: URL(filePath: "\(directory)/host\(index).yml"))
            processes.append(try Companion(inside(host.netns, ["nebula", "-config", "\(directory)/host\(index).yml"])))
            try awaitDevice(devices[1], host)
        }
        return processes
    }

    private static func awaitDevice(_ device: String, _ host: BenchHost) throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while (try? run(inside(host.netns, ["ip", "link", "show", "dev", device]))) == nil {
            guard ContinuousClock.now < deadline else { throw BenchError("there is no device \(device) after ten seconds") }
            _ = try run(["sleep", "0.05"])
        }
    }
}
