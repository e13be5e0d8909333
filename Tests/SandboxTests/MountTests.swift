import Foundation
import Glibc
import Testing
import WeftSandbox
import WeftSandboxWire

/// What a sandbox sees besides its root, and who its processes are.
@Suite("Mounts and identities of sandboxes", .timeLimit(.minutes(2)))
struct MountTests {
    let fixture: Fixture
    /// A directory of the host's with a file in it.
    let data: String
    /// A root file system with busybox in it.
    let root: String

    init() throws {
        fixture = try Fixture()
        data = "\(fixture.runDirectory)/data"
        root = "\(fixture.runDirectory)/root"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        try "a word\n".write(toFile: "\(data)/file", atomically: false, encoding: .utf8)
        for directory in ["bin", "etc"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(atPath: "/usr/bin/busybox", toPath: "\(root)/bin/busybox")
        for name in ["sh", "cat", "id", "mount", "touch", "grep", "echo", "ls", "sleep", "rm", "stat"] {
            try FileManager.default.createSymbolicLink(atPath: "\(root)/bin/\(name)", withDestinationPath: "busybox")
        }
        try "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n".write(
            toFile: "\(root)/etc/passwd", atomically: false, encoding: .utf8)
        try "root:x:0:\nweb:x:34:\nlogs:x:40:nobody,web\nextra:x:50:\n".write(
            toFile: "\(root)/etc/group", atomically: false, encoding: .utf8)
    }

    @Test("A directory of the host's is seen at a path that the host does not have, and nothing is made on the host")
    func bound() throws {
        var mount = SandboxMount(source: data, target: "/weft-test-data")
        let write = "cat /weft-test-data/file; echo more >/weft-test-data/new && echo written"
        #expect(try fixture.run(write) { $0.mounts = [mount] }.output == "a word\nwritten\n")
        #expect(FileManager.default.fileExists(atPath: "\(data)/new"))
        mount.isReadOnly = true
        let result = try fixture.run(write) { $0.mounts = [mount] }
        #expect(result.output == "a word\n" && result.error.contains("Read-only file system"))
        #expect(!FileManager.default.fileExists(atPath: "/weft-test-data"))
        // The rest of the host's root is there as it is.
        let rest = try fixture.run("ls -d /etc/passwd /tmp /usr/bin/env && cat /proc/1/comm") { $0.mounts = [mount] }
        #expect(rest.output == "/etc/passwd\n/tmp\n/usr/bin/env\nsh\n", "\(rest.error)")
    }

    @Test("A file system in memory is one, as large as is said; what is below a mount comes after it")
    func memory() throws {
        var memory = SandboxMount(source: nil, target: "/weft-test-memory")
        memory.options = "mode=1770,size=65536"
        let inside = SandboxMount(source: data, target: "/weft-test-memory/data/deep", isReadOnly: true)
        let script = """
            stat -f -c %T /weft-test-memory; stat -c %a /weft-test-memory; cat /weft-test-memory/data/deep/file
            head -c 100000 /dev/zero >/weft-test-memory/big || echo full
            """
        let result = try fixture.run(script) { $0.mounts = [inside, memory] }
        #expect(result.output == "tmpfs\n1770\na word\nfull\n", "\(result.error)")
    }

    @Test("Without a root of its own nothing is made in the host's, and a source that is not there is told")
    func refused() throws {
        func failure(_ mount: SandboxMount) throws -> String {
            let (directory, _) = try fixture.launch(["true"]) { $0.mounts = [mount] }
            do { try SandboxControl.start(directory) } catch SandboxError.refused(_, let reason) { return reason }
            return ""
        }
        let nowhere = try failure(SandboxMount(source: data, target: "/etc/weft-test/data"))
        #expect(nowhere.contains("--rootfs") && nowhere.contains("/etc/weft-test/data"))
        #expect(!FileManager.default.fileExists(atPath: "/etc/weft-test"))
        #expect(try failure(SandboxMount(source: "/no/such/directory", target: "/tmp")).contains("cannot mount /no/such/directory"))
        var made = SandboxMount(source: "\(data)/a/b", target: "/tmp")
        made.makesSource = true
        #expect(try failure(made) == "" && FileManager.default.fileExists(atPath: "\(data)/a/b"))
        #expect(throws: SandboxError.self) {
            try fixture.launch(["true"]) { $0.mounts = [SandboxMount(source: "/tmp", target: "/proc/sys")] }
        }
        #expect(throws: SandboxError.self) { try fixture.launch(["true"]) { $0.isReadOnly = true } }
    }

    @Test("A root that is read-only is, and what is mounted in it is not")
    func readOnly() throws {
        let script = "touch /new && echo new; touch /deep/er/data/new2 && echo data; touch /dev/shm/a && echo shm; cat /etc/hostname"
        let result = try fixture.run(script) {
            $0.rootfs = root
            $0.isReadOnly = true
            $0.mounts = [SandboxMount(source: data, target: "/deep/er/data")]
        }
        #expect(result.output.hasPrefix("data\nshm\ntest"), "\(result.output) \(result.error)")
        #expect(result.error.contains("Read-only file system"))
    }

    @Test("A user and groups are looked up in the sandbox's own files, with the home that is the user's")
    func users() throws {
        func run(_ user: String, _ groups: [String] = [], capabilities: UInt64? = nil) throws -> String {
            var confinement = Confinement()
            (confinement.user, confinement.groups) = (user, groups)
            return try fixture.run("id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status") {
                $0.rootfs = root
                $0.confinement = confinement
            }.output.replacingOccurrences(of: "\n", with: " ")
        }
        #expect(try run("web") == "33 34 34 40 /srv/web CapEff:\t0000000000000000 ")
        #expect(try run("33") == "33 34 34 40 /srv/web CapEff:\t0000000000000000 ")
        #expect(try run("web:extra", ["logs", "77"]) == "33 50 50 40 77 /srv/web CapEff:\t0000000000000000 ")
        #expect(try run("1234:5") == "1234 5 5 / CapEff:\t0000000000000000 ")
        #expect(try run("") == "0 0 0 /root CapEff:\t00000000a80425fb ")
        let (directory, _) = try fixture.launch(["true"]) {
            $0.confinement = Confinement()
            $0.confinement?.user = "no-such-user"
        }
        #expect(throws: SandboxError.refused(code: 126, reason: "the sandbox's /etc/passwd has no user no-such-user")) {
            try SandboxControl.start(directory)
        }
    }

    @Test("Capabilities, limits, the OOM score, new privileges and sysctls are as is said; commands run beside it have the same")
    func confined() throws {
        let script = """
            grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status | tr '\\t\\n' '  '; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj
            cat /proc/sys/net/ipv4/ip_default_ttl
            """
        func change(_ spec: inout SandboxSpec) {
            var confinement = Confinement()
            confinement.capabilities = 1 << 12 | 1 << 39
            confinement.noNewPrivileges = true
            confinement.oomScoreAdjustment = 321
            confinement.limits = [.init(name: "nofile", resource: 7, soft: 200, hard: 300)]
            spec.confinement = confinement
            spec.sysctls = ["net.ipv4.ip_default_ttl": "77"]
        }
        let expected = "CapEff: 0000008000001000 CapBnd: 0000008000001000 NoNewPrivs: 1 200\n300\n321\n77\n"
        #expect(try fixture.run(script, change).output == expected)
        let (directory, _) = try fixture.start(["sleep", "1000"], change)
        let program = try Program([Fixture.driver, "exec", directory.socket, "sh", "-c", script])
        #expect(program.exitCode() == 0)
        #expect(program.text == expected)
    }

    @Test("What a supervisor is told to make is what it reads")
    func request() throws {
        var request = LaunchRequest(
            directory: "/run/a", hostname: "a", rootfs: "/r",
            process: ProcessRequest(command: ["a"], environment: ["A=b"], workingDirectory: "/", terminal: false, openInput: false),
            mounts: [SandboxMount(source: "/a", target: "/b", isReadOnly: true), SandboxMount(source: nil, target: "/c")],
            sysctls: ["net/a", "1"], isReadOnly: true, hasInit: true)
        request.confinement.user = "web:logs"
        request.confinement.groups = ["77"]
        request.confinement.oomScoreAdjustment = -5
        request.confinement.limits = [Confinement.Limit(name: "nofile", resource: 7, soft: 1, hard: .max)]
        request.confinement.controlGroups = ["/sys/fs/cgroup/x"]
        var buffer = ShimMessage.Buffer()
        buffer.append(ShimMessage.launch(request).encoded())
        #expect(try buffer.next() == .launch(request))
    }

    @Test("An init hands on signals that its command has no handler for, gives its exit code, and reaps orphans")
    func initProcess() throws {
        let (directory, _) = try fixture.start(["sleep", "1000"]) { $0.hasInit = true }
        try SandboxControl.signal(directory, UInt8(SIGTERM))
        #expect(try SandboxControl.waitForExit(directory) == 128 + SIGTERM)
        let script = "cat /proc/1/comm; echo $$; (sleep 0.1 & exec true); sleep 0.5; grep -l 'State:.Z' /proc/[0-9]*/status; exit 7"
        let result = try fixture.run(script) { $0.hasInit = true }
        #expect(result.code == 7 && result.output == "weft-init\n2\n", "\(result.output) \(result.error)")
        let (missing, _) = try fixture.launch(["/no/such/program"]) { $0.hasInit = true }
        #expect(throws: SandboxError.refused(code: 127, reason: "command not found: /no/such/program")) {
            try SandboxControl.start(missing)
        }
    }
}
