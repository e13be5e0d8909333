import WeftLinux
import WeftNet

/// Whether something listens in a process's network namespace, where others can reach it.
enum ListenerProbe {
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
        (try? ListedSocket.tcp(ofProcess: pid)).flatMap { $0 }.map(reachable)
    }

    /// Whether a UDP socket there takes datagrams from anybody.
    private static func receives(_ pid: Int) -> Bool {
        let sockets = (try? ListedSocket.udp(ofProcess: pid)).flatMap { $0 }
        return !reachable(sockets ?? []).isEmpty
    }

    /// Not those at the loopback's address: Docker's own resolver listens there in every container.
    static func reachable(_ sockets: [ListedSocket]) -> Set<UInt16> {
        Set(sockets.filter { $0.isOpen && !$0.address.isLoopback }.map(\.port))
    }
}
