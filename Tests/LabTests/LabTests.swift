import Foundation
import Testing
import WeftLab
import WeftLinux

/// Real hosts of namespaces, with a stand-in for weftd that opens no socket.
@Suite("The lab's hosts", .serialized, .enabled(if: getuid() == 0, "needs root"))
struct LabTests {
    /// Apart from any lab that a person has up.
    let lab = Lab(name: "weft-lab-test", daemon: ["/bin/sleep", "1000"])

    private struct Run {
        var code: Int32
        var output: String
    }

    /// Runs a command on a host: by the tools that a person would use, not by the lab's own.
    private func run(_ host: LabHost, _ script: String) throws -> Run {
        let result = try ChildProcess.run([
            "/usr/bin/nsenter", "--net=\(host.networkNamespace)", "--mount=\(host.directory)/mnt",
            "--uts=\(host.directory)/uts", "/bin/sh", "-c", script,
        ])
        return Run(code: result.status, output: result.output)
    }

    private func machine() throws -> [String] {
        let mounts = try FileSystem.readText("/proc/self/mountinfo").split(separator: "\n")
            .filter { $0.contains("weft-lab-test") }
        let names = try ["/run", "/run/netns", "/sys/fs/bpf"].filter { FileSystem.exists($0) }.flatMap { path in
            try FileSystem.list(path).filter { $0.contains("weft-lab-test") }.map { "\(path)/\($0)" }
        }
        return mounts.map(String.init) + names + (try FileSystem.list("/sys/class/net"))
    }

    @Test("hosts reach each other, have names, directories and pin directories of their own, and leave nothing")
    func hosts() throws {
        #expect(try lab.down() == [])
        let before = try machine()
        try lab.make(hosts: 3)
        defer { _ = try? lab.down() }
        let hosts = lab.hosts()
        #expect(hosts.map(\.number) == [1, 2, 3])
        #expect(throws: LabError.alreadyUp(hosts: 3)) { try lab.make(hosts: 2) }
        #expect(throws: LabError.noSuchHost(4, hosts: 3)) { try lab.existing(4) }

        let ping = try run(hosts[0], "ping -c 1 -W 2 172.30.0.3 && ping -c 1 -W 2 172.30.0.254")
        #expect(ping.code == 0, "\(ping.output)")
        let facts = try run(
            hosts[1], "hostname; ls /sys/class/net; cat /sys/class/net/eth0/mtu; ip route show default; ip -4 -o addr show eth0")
        #expect(facts.output.hasPrefix("host2\neth0\nlo\n1500\ndefault via 172.30.0.254 dev eth0"))
        #expect(facts.output.contains("inet 172.30.0.2/24"))

        for host in hosts {
            #expect(try run(host, "echo \(host.name) > /run/weft/own; echo \(host.name) > /var/lib/weft/own").code == 0)
            #expect(try run(host, "mkdir /sys/fs/bpf/weft && ls -d /sys/fs/bpf/weft*").output == "/sys/fs/bpf/weft\n")
        }
        for host in hosts {
            #expect(try run(host, "cat /run/weft/own /var/lib/weft/own").output == "\(host.name)\n\(host.name)\n")
            #expect(try FileSystem.readText(host.runDirectory + "/own") == "\(host.name)\n")
        }

        #expect(try lab.down() == [])
        #expect(try machine() == before)
        #expect(lab.hosts().isEmpty)
        #expect(try lab.down() == [])
    }

    @Test("the daemon is started apart, stopped, killed, started again, and its failure shows")
    func daemon() throws {
        try lab.make(hosts: 1)
        defer { _ = try? lab.down() }
        let host = try lab.existing(1)
        #expect(host.daemon.pid == nil)
        #expect(throws: LabError.notRunning("weftd", host: "host1")) { try host.daemon.end(signal: SIGTERM) }
        try host.daemon.start()
        let pid = try #require(host.daemon.pid)
        #expect(throws: LabError.alreadyRunning("weftd", host: "host1")) { try host.daemon.start() }
        // A session of its own, nothing inherited but the log.
        let session = try FileSystem.readText("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ")[3]
        #expect(session.flatMap { Int32($0) } != getsid(0))
        #expect(try FileSystem.list("/proc/\(pid)/fd") == ["0", "1", "2"])
        #expect(try FileSystem.readLink("/proc/\(pid)/fd/2") == host.daemon.log)
        try host.daemon.end(signal: SIGKILL)
        #expect(host.daemon.pid == nil)
        try host.daemon.start()
        #expect(throws: LabError.daemonFailed("weftd", host: "host1", log: host.daemon.log, tail: "")) {
            try host.daemon.wait(seconds: 0.05)
        }
        #expect(try lab.down() == [])
        // Gone, or a zombie that its new parent has not seen to yet.
        #expect(throws: SystemError.self) { try FileSystem.readLink("/proc/\(pid)/exe") }
    }

    @Test("what a crash half way leaves is removed")
    func halfMade() throws {
        let before = try machine()
        try lab.make(hosts: 2)
        defer { _ = try? lab.down() }
        // As when it ended in the middle of the second host, and somebody had begun to clean up by hand.
        for path in ["\(lab.directory)/host2/mnt", "\(lab.directory)/host1/uts", "/run/netns/weft-lab-test-1"] {
            let result = try ChildProcess.run(["/bin/umount", path])
            #expect(result.status == 0)
        }
        try FileSystem.removeTree("/run/netns/weft-lab-test-1")
        #expect(try lab.down() == [])
        #expect(try machine() == before)
    }

    @Test("numbers of hosts that cannot be are refused")
    func counts() {
        for count in [0, -1, 201] {
            #expect(throws: LabError.invalidCount(count)) { try lab.make(hosts: count) }
        }
    }
}
