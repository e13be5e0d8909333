import WeftLinux

/// Whether something listens in a process's network namespace, where others can reach it.
enum PortProbe {
    /// How long a service's ports are waited for.
    static let patience = Duration.seconds(10)
    /// How long any port is waited for, of a service that tells of none: it may have none.
    static let shortPatience = Duration.seconds(1)
    private static let interval = Duration.milliseconds(20)

    /// Returns once something listens on each of the TCP ports (on whichever port if there are none), or patience is at its end; false
    /// if the process is gone.
    static func wait(forPorts ports: [UInt16], ofProcess pid: Int) async -> Bool {
        let clock = ContinuousClock()
        let end = clock.now + (ports.isEmpty ? shortPatience : patience)
        while clock.now < end, !Task.isCancelled {
            guard let listening = listeningPorts(ofProcess: pid) else { return false }
            if ports.isEmpty ? !listening.isEmpty || receives(pid) : listening.isSuperset(of: ports) { return true }
            try? await Task.sleep(for: interval)
        }
        return listeningPorts(ofProcess: pid) != nil
    }

    /// Nil: there is no such process.
    static func listeningPorts(ofProcess pid: Int) -> Set<UInt16>? {
        guard let tcp = try? FileSystem.readText("/proc/\(pid)/net/tcp") else { return nil }
        // A kernel without IPv6 has none.
        return listeningPorts(tcp).union(listeningPorts((try? FileSystem.readText("/proc/\(pid)/net/tcp6")) ?? ""))
    }

    /// Whether a UDP socket there takes datagrams from anybody.
    private static func receives(_ pid: Int) -> Bool {
        ["udp", "udp6"].contains {
            !listeningPorts((try? FileSystem.readText("/proc/\(pid)/net/\($0)")) ?? "", state: "07").isEmpty
        }
    }

    /// Of a table of sockets as /proc has it: those in the state, LISTEN if not another one, at an address that is not the loopback's.
    /// Docker's own resolver listens there in every container.
    static func listeningPorts(_ table: String, state: Substring = "0A") -> Set<UInt16> {
        var ports: Set<UInt16> = []
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count > 3, fields[3] == state else { continue }
            let place = fields[1].split(separator: ":")
            guard place.count == 2, !isLoopback(place[0]), let number = UInt16(place[1], radix: 16) else { continue }
            ports.insert(number)
        }
        return ports
    }

    /// Words of four octets, each as this machine's byte order has it: 0100007F is 127.0.0.1.
    private static func isLoopback(_ address: Substring) -> Bool {
        address.count == 8 ? address.hasSuffix("7F") : address == "00000000000000000000000001000000"
    }
}
