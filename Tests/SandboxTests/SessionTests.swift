import CSandbox
import Foundation
import Testing
import WeftSandbox

@Suite("Sessions with sandboxes", .serialized, .enabled(if: getuid() == 0, "needs root"))
struct SessionTests {
    let fixture: Fixture

    init() throws { fixture = try Fixture() }

    private func driver(_ arguments: String..., terminal: Bool = false) throws -> Program {
        try Program([Fixture.driver] + arguments, terminal: terminal)
    }

    @Test("attached from before the start, all output arrives, and the exit code")
    func attach() throws {
        let (directory, _) = try fixture.launch(["/bin/sh", "-c", "echo one; echo two >&2; exit 3"])
        let session = try driver("attach", "-s", directory.socket)
        #expect(session.exitCode() == 3)
        #expect(session.text == "one\ntwo\n" || session.text == "two\none\n")
    }

    @Test("megabytes pass through unharmed, in and out, and the input's end ends cat")
    func throughput() throws {
        let (directory, _) = try fixture.launch(["cat"]) { $0.openStdin = true }
        let file = fixture.runDirectory + "/data"
        let data = Data((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) })
        try data.write(to: URL(fileURLWithPath: file))
        let copy = fixture.runDirectory + "/copy"
        let shell = try Program(
            ["/bin/sh", "-c", "\(Fixture.driver) attach -i -s \(directory.socket) < \(file) > \(copy); echo code=$?"])
        shell.expect("code=0")
        _ = shell.exitCode()
        #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == data)
    }

    @Test("a client that reads nothing stops neither signals nor other clients' waits")
    func slowClient() throws {
        let (directory, _) = try fixture.launch(["yes"])
        let slow = try Program(["/bin/sh", "-c", "\(Fixture.driver) attach -s \(directory.socket) | sleep 1000"])
        Fixture.eventually("not running") { directory.state()?.status == .running }
        let watch = try SandboxWatch(directory)
        try SandboxControl.signal(directory, 9)
        #expect(try watch.exitCode() == 137)
        kill(-slow.pid, SIGKILL)
        _ = slow.exitCode()
    }

    @Test("signals to a session without a terminal go to the process")
    func signalProxy() throws {
        let (directory, _) = try fixture.launch(["/bin/sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done"])
        let session = try driver("attach", "-s", directory.socket)
        session.expect("up")
        kill(session.pid, SIGTERM)
        #expect(session.exitCode() == 9)
    }

    @Test("exec: exit code, environment, input, both streams; in the same namespaces")
    func exec() throws {
        let (directory, pid) = try fixture.start(["sleep", "1000"]) { $0.environment = ["OWN=2"] }
        let first = try driver("exec", directory.socket, "/bin/sh", "-c", "echo $OWN$EXTRA; cat /proc/1/comm; exit 7")
        #expect(first.exitCode() == 7)
        #expect(first.text == "21\nsleep\n")

        let second = try driver("exec", "-i", directory.socket, "sort")
        second.write("b\na\n")
        second.closeInput()
        #expect(second.exitCode() == 0)
        #expect(second.text == "a\nb\n")

        let namespaces = ["net", "mnt", "uts", "ipc", "pid"]
        let links = namespaces.map { "/proc/self/ns/\($0)" }
        let third = try Program([Fixture.driver, "exec", directory.socket, "readlink"] + links)
        #expect(third.exitCode() == 0)
        let expected = try namespaces.map {
            try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/ns/\($0)")
        }
        #expect(third.text == expected.joined(separator: "\n") + "\n")

        let fourth = try driver("exec", directory.socket, "no-such-command")
        #expect(fourth.exitCode() == 127)
        #expect(fourth.text == "refused: command not found: no-such-command\n")

        let fifth = try driver("exec", directory.socket, "/bin/sh", "-c", "grep CapEff /proc/self/status; kill -9 $$")
        #expect(fifth.exitCode() == 137)
        #expect(fifth.text == "CapEff:\t00000000a80425fb\n")
    }

    @Test("exec detached runs on by itself; nothing of it is in the sandbox's log")
    func execDetached() throws {
        let (directory, _) = try fixture.start(["/bin/sh", "-c", "until [ -e /dev/shm/mark ]; do sleep 0.01; done"])
        let session = try driver("exec", "-d", directory.socket, "/bin/sh", "-c", "echo noise; sleep 0.1; touch /dev/shm/mark")
        #expect(session.exitCode() == 0)
        #expect(session.text == "")
        #expect(try SandboxControl.waitForExit(directory) == 0)
        #expect(try fixture.log(directory).output == "")
    }

    @Test("an exec ends with its sandbox")
    func execEndsWithSandbox() throws {
        let (directory, _) = try fixture.start(["sleep", "1000"])
        let session = try driver("exec", directory.socket, "/bin/sh", "-c", "echo up; sleep 1000")
        session.expect("up")
        try SandboxControl.signal(directory, 9)
        #expect(try SandboxControl.waitForExit(directory) == 137)
        #expect(session.exitCode() == 137)
    }

    @Test("a terminal: its name and size inside, resizing, ctrl-c, the exit code")
    func terminal() throws {
        let script =
            "tty; stty size; trap 'stty size; exit 4' INT; trap 'echo resized; stty size' WINCH; echo up; while :; do sleep 0.01; done"
        let (directory, _) = try fixture.launch(["/bin/sh", "-c", script]) {
            $0.terminal = true; $0.openStdin = true
        }
        let session = try Program(
            [
                "/bin/sh", "-c", "stty rows 24 cols 80; \(Fixture.driver) attach -t -i -s \(directory.socket); echo code=$?; stty -a",
            ], terminal: true)
        session.expect("up\r\n")
        #expect(session.text.hasPrefix("/dev/pts/0\r\n24 80\r\n"))
        session.resize(rows: 50, columns: 132)
        session.expect("resized\r\n50 132\r\n")
        session.write("\u{3}")
        session.expect("code=4")
        // The terminal is as it was before.
        session.expect("\nisig icanon")
        #expect(session.exitCode() == 0)
    }

    @Test("the detach keys leave the sandbox running, to be attached to again")
    func detach() throws {
        let (directory, _) = try fixture.launch(["/bin/sh"]) {
            $0.terminal = true; $0.openStdin = true
        }
        let first = try driver("attach", "-t", "-i", "-s", directory.socket, terminal: true)
        first.expect("# ")
        first.write("x=42\r")
        first.expect("x=42\r\n# ")
        first.write("\u{10}\u{11}")
        #expect(first.exitCode() == 0)
        #expect(first.text.hasSuffix("read escape sequence\r\n"))
        #expect(directory.state()?.isAlive == true)
        let second = try driver("attach", "-t", "-i", directory.socket, terminal: true)
        // Raw only now: what is typed before would be echoed by this side as well, which does no harm here.
        second.write("echo =$x=; exit 6\r")
        second.expect("=42=")
        #expect(second.exitCode() == 6)
    }

    @Test("a terminal that goes away hangs an exec up, not the sandbox")
    func execHangup() throws {
        let (directory, _) = try fixture.start(["sleep", "1000"])
        let session = try driver("exec", "-t", "-i", directory.socket, "/bin/sh", "-c", "echo $$; exec sleep 999", terminal: true)
        session.expect("\n")
        kill(session.pid, SIGKILL)
        _ = session.exitCode()
        let netns = try FileManager.default.destinationOfSymbolicLink(
            atPath: try #require(directory.state()).netnsPath)
        Fixture.eventually("the exec is still there") { SandboxTests.processes(in: netns).count == 1 }
        #expect(directory.state()?.isAlive == true)
    }

    @Test("logs: the last lines, times, both streams, and following to the end")
    func logs() throws {
        let script =
            "for i in 1 2 3 4 5; do echo line $i; done; printf part; echo err >&2; until [ -e /dev/shm/go ]; do sleep 0.01; done; echo ial"
        let (directory, _) = try fixture.start(["/bin/sh", "-c", script])
        try Fixture.eventually("no output") { try fixture.log(directory).error == "err\n" }
        let tail = try driver("logs", "-n", "2", directory.path)
        #expect(tail.exitCode() == 0)
        #expect(tail.text == "parterr\n" || tail.text == "err\npart")
        let times = try driver("logs", "-t", directory.path)
        #expect(times.exitCode() == 0)
        #expect(times.text.contains(/20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 5\n/))
        let follow = try driver("logs", "-f", "-n", "1", directory.path)
        #expect(try driver("exec", directory.socket, "touch", "/dev/shm/go").exitCode() == 0)
        #expect(follow.exitCode() == 0)
        #expect(follow.text.hasSuffix("ial\n"))
    }
}
