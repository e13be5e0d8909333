import WeftLinux

/// Whether something listens on TCP ports in a process's network namespace.
enum PortProbe {
    /// How long a service's ports are waited for.
    static let patience = Duration.seconds(10)
    private static let interval = Duration.milliseconds(20)

    /// Returns once something listens on each of the ports, the process is gone, or patience is at its end.
    static func wait(forPorts ports: [UInt16], ofProcess pid: Int) async {
        let clock = ContinuousClock()
        let end = clock.now + patience
        while clock.now < end, !Task.isCancelled {
            guard let listening = listeningPorts(ofProcess: pid) else { return }
            if listening.isSuperset(of: ports) { return }
            try? await Task.sleep(for: interval)
        }
    }

    /// Nil: there is no such process.
    static func listeningPorts(ofProcess pid: Int) -> Set<UInt16>? {
        guard let tcp = try? FileSystem.readText("/proc/\(pid)/net/tcp") else { return nil }
        // A kernel without IPv6 has none.
        return listeningPorts(tcp).union(listeningPorts((try? FileSystem.readText("/proc/\(pid)/net/tcp6")) ?? ""))
    }

    /// Of a table of sockets as /proc has it: those in the state LISTEN.
    static func listeningPorts(_ table: String) -> Set<UInt16> {
        var ports: Set<UInt16> = []
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count > 3, fields[3] == "0A", let port = fields[1].split(separator: ":").last,
                let number = UInt16(port, radix: 16)
            else { continue }
            ports.insert(number)
        }
        return ports
    }
}
