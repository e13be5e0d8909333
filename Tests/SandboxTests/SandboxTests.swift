import CSandbox
import Foundation
import Synchronization
import Testing
import WeftSandbox
import WeftSandboxWire

@Suite("Sandboxes", .serialized, .enabled(if: getuid() == 0, "needs root"))
struct SandboxTests {
    let fixture: Fixture

    init() throws { fixture = try Fixture() }

    @Test("a command runs, its exit code and its output on both streams are kept")
    func exitCodeAndOutput() throws {
        let result = try fixture.run("echo out; echo err >&2; exit 7")
        #expect(result.code == 7)
        #expect(result.output == "out\n")
        #expect(result.error == "err\n")
        let state = try #require(fixture.store.list().first?.state)
        #expect(state.status == .exited)
        #expect(state.exitCode == 7)
        #expect(try #require(state.startedAt) <= #require(state.finishedAt))
    }

    @Test("the namespaces exist, and nothing runs, before the start")
    func createdState() throws {
        let (directory, pid) = try fixture.launch(["/bin/sh", "-c", "echo ran"])
        let state = try #require(directory.state())
        #expect(state.status == .created)
        #expect(state.isAlive)
        #expect(state.pid == pid)
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net")
        let theirs = try FileManager.default.destinationOfSymbolicLink(atPath: state.netnsPath)
        #expect(own != theirs)
        #expect(try fixture.log(directory).output == "")
        try SandboxControl.signal(directory, 15)
        #expect(try SandboxControl.waitForExit(directory) == 137)
        #expect(throws: SandboxError.self) { try SandboxControl.start(directory) }
    }

    @Test("a command that does not exist is 127, one that cannot be run 126, with a sentence")
    func startFailures() throws {
        for (command, code, text) in [
            (["no-such-command"], 127, "command not found: no-such-command"),
            (["/etc/passwd"], 126, "cannot run /etc/passwd: Permission denied"),
        ] as [([String], Int32, String)] {
            let (directory, _) = try fixture.launch(command)
            #expect(throws: SandboxError.refused(code: code, reason: text)) { try SandboxControl.start(directory) }
            #expect(try SandboxControl.waitForExit(directory) == code)
            #expect(directory.state()?.error == text)
            #expect(directory.state()?.exitCode == code)
        }
        let (directory, _) = try fixture.launch(["true"]) { $0.workingDirectory = "/no/such/place" }
        #expect(
            throws: SandboxError.refused(
                code: 126, reason: "cannot enter the working directory /no/such/place: No such file or directory")
        ) { try SandboxControl.start(directory) }
    }

    @Test("it is process 1 in its own pid namespace with its own host name, hosts and resolv.conf")
    func insides() throws {
        let script = """
            echo $$; hostname; cat /etc/hostname; cat /etc/resolv.conf; grep db /etc/hosts
            ls /proc | grep -c '^[0-9]*$'; ls /sys/class/net; cat /proc/sys/net/ipv4/ping_group_range; echo "$WORD $HOME"
            """
        let result = try fixture.run(script) {
            $0.hostname = "inside"
            $0.environment = ["WORD=word"]
            $0.hosts = [SandboxSpec.HostsEntry(address: "10.0.0.9", names: ["db", "db.weft"])]
            $0.resolver = SandboxSpec.Resolver(addresses: ["169.254.77.53"], search: ["weft"], options: ["ndots:0"])
        }
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(result.error == "")
        try #require(lines.count == 11)
        #expect(lines[0...2] == ["1", "inside", "inside"])
        #expect(lines[3...5] == ["nameserver 169.254.77.53", "search weft", "options ndots:0"])
        #expect(lines[6] == "10.0.0.9\tdb db.weft")
        let processes = try #require(Int(lines[7]))
        #expect(processes <= 4)
        #expect(lines[8...10] == ["lo", "0\t2147483647", "word /root"])
    }

    @Test("it keeps Docker's capabilities, without NET_ADMIN, and cannot change the host's kernel settings")
    func capabilities() throws {
        let script = """
            grep -E 'Cap(Eff|Bnd)' /proc/self/status; ls -l /proc/self/fd | wc -l
            echo 1 > /proc/sys/kernel/panic; ls /dev/vda /dev/sda; ip link add c0 type dummy; umount /proc/sys
            mknod /tmp/weft-sandbox-test-device b 8 0 && cat /tmp/weft-sandbox-test-device; rm -f /tmp/weft-sandbox-test-device
            """
        let result = try fixture.run(script)
        #expect(result.output.contains("CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb"))
        // 0, 1, 2 and ls's own, and the line with the total.
        #expect(result.output.hasSuffix("\n5\n"))
        #expect(result.error.contains("Read-only file system"))
        #expect(!result.output.contains("/dev/"))
        #expect(result.error.contains("Operation not permitted"))
        #expect(result.error.contains("weft-sandbox-test-device: Permission denied"))
    }

    @Test("hosts and resolv.conf change in a running sandbox")
    func liveFiles() throws {
        let (directory, _) = try fixture.start(["/bin/sh", "-c", "until grep -q later /etc/hosts; do sleep 0.01; done"])
        try directory.writeHosts([SandboxSpec.HostsEntry(address: "10.0.0.1", names: ["later"])])
        #expect(try SandboxControl.waitForExit(directory) == 0)
    }

    @Test("signals reach it, and one killed reports 128 + the signal")
    func signals() throws {
        let (first, _) = try fixture.start(["/bin/sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done"])
        try Fixture.eventually("not ready") { try fixture.log(first).output == "ready\n" }
        try SandboxControl.signal(first, UInt8(SIGUSR1))
        #expect(try SandboxControl.waitForExit(first) == 5)

        let (second, _) = try fixture.start(["sleep", "1000"])
        try SandboxControl.signal(second, UInt8(SIGKILL))
        #expect(try SandboxControl.waitForExit(second) == 137)
    }

    @Test("names and ids are found, a name is taken once, and only what has ended is removed")
    func store() throws {
        let (directory, _) = try fixture.start(["sleep", "1000"]) {
            $0.id = "abc1"; $0.name = "web"
        }
        _ = try fixture.launch(["true"]) {
            $0.id = "abc2"; $0.name = "db"
        }
        #expect(try fixture.store.find("web").spec.id == "abc1")
        #expect(try fixture.store.find("abc2").spec.name == "db")
        #expect(throws: SandboxError.ambiguous("abc")) { try fixture.store.find("abc") }
        #expect(throws: SandboxError.notFound("cache")) { try fixture.store.find("cache") }
        #expect(throws: SandboxError.nameTaken("web")) { try fixture.launch(["true"]) { $0.name = "web" } }
        #expect(throws: SandboxError.stillRunning("abc1")) { try fixture.store.remove(id: "abc1") }
        try SandboxControl.signal(directory, 9)
        _ = try SandboxControl.waitForExit(directory)
        Fixture.eventually("not removed") { (try? fixture.store.remove(id: "abc1")) != nil }
        try fixture.store.remove(id: "abc1")
        #expect(!FileManager.default.fileExists(atPath: directory.path))
        #expect(fixture.store.list().map(\.spec.id) == ["abc2"])
    }

    @Test("whoever still writes into a sandbox's directory does not bring it back, nor keep it")
    func removedWhileWritten() throws {
        for round in 0..<50 {
            let spec = fixture.spec(["true"]) { $0.id = "written\(round)" }
            let directory = try fixture.store.create(spec)
            let writing = Mutex(true)
            let writer = Thread { [store = fixture.store] in
                while writing.withLock({ $0 }) { try? store.update(spec) }
            }
            writer.start()
            defer { writing.withLock { $0 = false } }
            try fixture.store.remove(id: spec.id)
            #expect(!FileManager.default.fileExists(atPath: directory.path))
        }
        #expect(fixture.store.list().isEmpty)
    }

    @Test("what an interrupted removal leaves is no sandbox, and goes at the next start")
    func interruptedRemoval() throws {
        let directory = try fixture.store.create(fixture.spec(["true"]))
        let left = fixture.store.path + "/.removed-" + directory.path.split(separator: "/").last!
        try FileManager.default.moveItem(atPath: directory.path, toPath: left)
        #expect(fixture.store.list().isEmpty)
        try fixture.store.removeLeftovers()
        #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.store.path) == [])
    }

    @Test("specs that cannot work are refused with the reason")
    func invalidSpecs() throws {
        let changes: [(inout SandboxSpec) -> Void] = [
            { $0.id = "../x" }, { $0.id = "" }, { $0.command = [] }, { $0.hostname = "" }, { $0.rootfs = "relative" },
            { $0.environment = ["NAME"] }, { $0.command = ["a\0b"] }, { $0.workingDirectory = "here" },
            { $0.hosts = [SandboxSpec.HostsEntry(address: "1.2.3.4", names: ["a\nb"])] },
        ]
        for change in changes {
            let spec = fixture.spec(["true"], change)
            #expect(throws: SandboxError.self) { try fixture.store.create(spec) }
        }
    }

    @Test("it survives whoever launched it, and is found again by its directory")
    func survivesLauncher() throws {
        let launcher = try Program(
            [Fixture.driver, "launch", fixture.runDirectory, Fixture.shim, "c1", "sleep", "1000"])
        launcher.expect("\n")
        kill(launcher.pid, SIGKILL)
        #expect(launcher.exitCode() == 137)
        let entry = try fixture.store.find("c1")
        #expect(entry.state?.status == .running)
        #expect(entry.state?.isAlive == true)
        let watch = try SandboxWatch(entry.directory)
        try SandboxControl.signal(entry.directory, 9)
        #expect(try watch.exitCode() == 137)
    }

    @Test("a supervisor that is killed takes the sandbox with it, and that shows")
    func supervisorDies() throws {
        let (directory, pid) = try fixture.start(["/bin/sh", "-c", "sleep 1000 & wait"])
        let watch = try SandboxWatch(directory)
        let state = try #require(directory.state())
        kill(state.shimPID, SIGKILL)
        #expect(try watch.exitCode() == 137)
        Fixture.eventually("the process is still there") { csb_start_time(pid) == 0 }
        #expect(directory.state()?.status == .exited)
        #expect(directory.state()?.isAlive == false)
        #expect(throws: SandboxError.notRunning("c0ffee1")) { try SandboxControl.signal(directory, 9) }
        #expect(try SandboxControl.waitForExit(directory) == 137)
    }

    @Test("a supervisor that does not answer is told of, keeps no other's end from being noticed, and can be killed")
    func supervisorStops() throws {
        let (stopped, _) = try fixture.start(["sleep", "1000"])
        let (other, _) = try fixture.start(["sleep", "1000"]) {
            $0.id = "c0ffee2"; $0.name = "other"
        }
        let state = try #require(stopped.state())
        kill(state.shimPID, SIGSTOP)
        #expect(throws: SandboxError.silent("c0ffee1")) { try SandboxControl.signal(stopped, 15) }

        let watcher = try ExitWatcher()
        let ended = Mutex<[String: Int32]>([:])
        let thread = Thread { watcher.run { directory, code in ended.withLock { $0[directory.path] = code } } }
        thread.start()
        defer { watcher.finish() }
        watcher.watch(stopped)
        watcher.watch(other)
        try SandboxControl.kill(other)
        Fixture.eventually("the other's end is not noticed") { ended.withLock { $0[other.path] == 137 } }
        #expect(ended.withLock { $0[stopped.path] == nil }, "it lives")

        try SandboxControl.kill(stopped)
        Fixture.eventually("its end is not noticed") { ended.withLock { $0[stopped.path] == 137 } }
        #expect(stopped.state()?.isAlive == false)
    }

    @Test("a root file system of its own")
    func rootfs() throws {
        let root = fixture.runDirectory + "/root"
        try FileManager.default.createDirectory(atPath: root + "/bin", withIntermediateDirectories: true)
        try FileManager.default.createDirectory(atPath: root + "/etc", withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root + "/bin/busybox")
        for name in ["sh", "ls", "cat", "mount", "id", "mkdir"] {
            try FileManager.default.createSymbolicLink(atPath: "\(root)/bin/\(name)", withDestinationPath: "busybox")
        }
        // As images made by systemd distributions have it.
        try FileManager.default.createSymbolicLink(
            atPath: root + "/etc/resolv.conf", withDestinationPath: "/run/systemd/resolve/stub-resolv.conf")
        let script = "ls /; cat /etc/resolv.conf; echo x > /dev/null && echo null; mkdir /made; cat /proc/1/comm; ls /dev"
        let result = try fixture.run(script) { $0.rootfs = root }
        #expect(result.error == "")
        #expect(
            result.output
                == "bin\ndev\netc\nproc\nsys\nnameserver 169.254.77.53\nnull\nsh\n"
                + "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n")
        #expect(FileManager.default.fileExists(atPath: root + "/made"))
        #expect(throws: SandboxError.self) {
            try fixture.launch(["sh"]) { $0.rootfs = "/no/such/root" }
        }
    }

    @Test("nothing is left after the end: no process, no mount, no network namespace")
    func nothingLeft() throws {
        // Others may be at work on network namespaces.
        func mounts() throws -> [Substring] {
            try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).split(separator: "\n")
                .filter { !$0.contains(" /run/netns") && !$0.contains("lab-") && !$0.contains("weft-lab") }
        }
        let before = try mounts()
        let (directory, pid) = try fixture.start(["/bin/sh", "-c", "sleep 1000 & sleep 1000 & wait"])
        let state = try #require(directory.state())
        let netns = try FileManager.default.destinationOfSymbolicLink(atPath: state.netnsPath)
        Fixture.eventually("its processes are not there") { Self.processes(in: netns).count >= 2 }
        try SandboxControl.signal(directory, 9)
        _ = try SandboxControl.waitForExit(directory)
        Fixture.eventually("the supervisor is still there") { csb_start_time(state.shimPID) == 0 }
        #expect(csb_start_time(pid) == 0)
        #expect(Self.processes(in: netns) == [])
        #expect(try mounts() == before)
        #expect(!FileManager.default.fileExists(atPath: directory.socket))
    }

    static func processes(in netns: String) -> [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.filter { Int($0) != nil }.filter {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0)/ns/net")) == netns
        }
    }

    @Test("the log is cut at its size and keeps the newest")
    func rotation() throws {
        let (directory, _) = try fixture.start(["/bin/sh", "-c", "yes 0123456789abcde | head -c 30000000; echo last"])
        #expect(try SandboxControl.waitForExit(directory) == 0)
        let size = try #require(try FileManager.default.attributesOfItem(atPath: directory.logFile)[.size] as? Int)
        let older = try #require(
            try FileManager.default.attributesOfItem(atPath: directory.logFile + ".1")[.size] as? Int)
        #expect(size <= 10 << 20)
        #expect(older <= 10 << 20 && older > 9 << 20)
        #expect(try fixture.log(directory).output.hasSuffix("\nlast\n"))
    }
}
