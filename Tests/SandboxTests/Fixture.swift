import CSandbox
import Foundation
import TestSupport
import Testing
import WeftAgent
import WeftModel
import WeftSandbox
import WeftSandboxWire

/// Publishes nothing.
struct NoPorts: PortPublishing {
    func publish(_ ports: [PublishedPort], interfaces: Set<EndpointID>) {}
    func freePort(for wanted: WantedPort, taken: Set<UInt16>) -> UInt16? { nil }
}

/// A run directory of its own, and everything in it gone at the end.
final class Fixture {
    let runDirectory: String
    let store: SandboxStore
    private var counter = 0

    init() throws {
        var template = Array("/tmp/weft-sandbox-test-XXXXXX".utf8CString)
        runDirectory = try #require(mkdtemp(&template).map { String(cString: $0) })
        store = SandboxStore(runDirectory: runDirectory)
    }

    deinit {
        for entry in store.list() where entry.state?.isAlive == true {
            try? SandboxControl.signal(entry.directory, 9)
            _ = try? SandboxControl.waitForExit(entry.directory)
        }
        try? FileManager.default.removeItem(atPath: runDirectory)
    }

    /// Where the programs built with these tests are.
    static let programs: String = {
        let arguments = CommandLine.arguments
        // Run by the package manager's own helper, or as a program itself.
        let bundle = arguments.firstIndex(of: "--test-bundle-path").map { arguments[$0 + 1] }
        let path = bundle ?? (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "."
        return URL(fileURLWithPath: path).deletingLastPathComponent().path
    }()
    static let shim = programs + "/weft-shim"
    static let driver = programs + "/sandbox-driver"

    func spec(_ command: [String], _ change: (inout SandboxSpec) -> Void = { _ in }) -> SandboxSpec {
        counter += 1
        var spec = SandboxSpec(
            id: "c0ffee\(counter)", name: "test\(counter)", hostname: "test\(counter)", command: command,
            resolver: SandboxSpec.Resolver(addresses: ["169.254.77.53"]))
        change(&spec)
        return spec
    }

    /// A sandbox whose process waits to be started.
    func launch(
        _ command: [String], _ change: (inout SandboxSpec) -> Void = { _ in }
    ) throws -> (directory: SandboxDirectory, pid: Int32) {
        let spec = spec(command, change)
        let directory = try store.create(spec)
        let (pid, netns) = try SandboxLauncher.launch(spec: spec, directory: directory, shimExecutable: Self.shim)
        #expect(netns == "/proc/\(pid)/ns/net")
        return (directory, pid)
    }

    func start(
        _ command: [String], _ change: (inout SandboxSpec) -> Void = { _ in }
    ) throws -> (directory: SandboxDirectory, pid: Int32) {
        let sandbox = try launch(command, change)
        try SandboxControl.start(sandbox.directory)
        return sandbox
    }

    /// Runs a shell script to its end.
    func run(
        _ script: String, _ change: (inout SandboxSpec) -> Void = { _ in }
    ) throws -> (code: Int32, output: String, error: String) {
        let (directory, _) = try launch(["/bin/sh", "-c", script], change)
        let watch = try SandboxWatch(directory)
        try SandboxControl.start(directory)
        let code = try watch.exitCode()
        let (output, error) = try log(directory)
        return (code, output, error)
    }

    func log(_ directory: SandboxDirectory) throws -> (output: String, error: String) {
        var bytes = try Array(Data(contentsOf: URL(fileURLWithPath: directory.logFile)))[...]
        var texts: [LogFrame.Stream: [UInt8]] = [:]
        while let (frame, size) = try LogFrame.decode(bytes) {
            texts[frame.stream, default: []] += frame.bytes
            bytes = bytes.dropFirst(size)
        }
        return (
            String(decoding: texts[.output] ?? [], as: UTF8.self),
            String(decoding: texts[.errorOutput] ?? [], as: UTF8.self)
        )
    }

    /// Waits until something is so.
    static func eventually(
        _ what: Comment, _ condition: () throws -> Bool, at location: SourceLocation = #_sourceLocation
    ) rethrows {
        let end = ContinuousClock.now + patience
        while ContinuousClock.now < end {
            if try condition() { return }
            usleep(5_000)
        }
        Issue.record(what, sourceLocation: location)
    }
}

/// A program whose input and output the test holds: over pipes, or over a terminal.
final class Program {
    let pid: pid_t
    private var input: Int32
    private let output: Int32
    private let isTerminal: Bool
    private(set) var text = ""

    init(_ arguments: [String], terminal: Bool = false) throws {
        isTerminal = terminal
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The threads of the tests block signals, which a program would inherit.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(0x80 | POSIX_SPAWN_SETSIGMASK))  // 0x80: POSIX_SPAWN_SETSID
        var inner: [Int32] = []
        if terminal {
            var path = [CChar](repeating: 0, count: 64)
            let master = csb_open_terminal(&path, path.count)
            try #require(master >= 0)
            // Opened by the leader of a new session: it becomes its controlling terminal.
            posix_spawn_file_actions_addopen(&actions, 0, path, O_RDWR, 0)
            posix_spawn_file_actions_adddup2(&actions, 0, 1)
            posix_spawn_file_actions_adddup2(&actions, 0, 2)
            (input, output) = (master, master)
        } else {
            var pairs: [[Int32]] = [[-1, -1], [-1, -1]]
            try #require(csb_pipe(&pairs[0]) == 0 && csb_pipe(&pairs[1]) == 0)
            posix_spawn_file_actions_adddup2(&actions, pairs[0][0], 0)
            posix_spawn_file_actions_adddup2(&actions, pairs[1][1], 1)
            posix_spawn_file_actions_adddup2(&actions, pairs[1][1], 2)
            (input, output) = (pairs[0][1], pairs[1][0])
            inner = [pairs[0][0], pairs[1][1]]
        }
        var pid: pid_t = 0
        var pointers = arguments.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        let error = posix_spawn(&pid, arguments[0], &actions, &attributes, pointers, environ)
        try #require(error == 0)
        for fd in inner { close(fd) }
        self.pid = pid
        _ = csb_set_nonblocking(output, true)
    }

    deinit {
        closeInput()
        close(output)
    }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(input, bytes, bytes.count)
    }

    func closeInput() {
        if input >= 0 && !isTerminal { close(input) }
        input = -1
    }

    func resize(rows: UInt16, columns: UInt16) { _ = csb_set_size(output, rows, columns) }

    private func readMore() {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = read(output, &buffer, buffer.count)
        if count > 0 { text += String(decoding: buffer[..<count], as: UTF8.self) }
    }

    /// Waits until the program has printed something.
    func expect(_ expected: String, at location: SourceLocation = #_sourceLocation) {
        Fixture.eventually(
            "no \"\(expected)\" in \"\(text)\"",
            {
                readMore()
                return text.contains(expected)
            }, at: location)
    }

    /// Waits for the end and returns the exit code (128 + signal), or nil when it does not come.
    func exitCode() -> Int32? {
        let end = ContinuousClock.now + patience
        while ContinuousClock.now < end {
            readMore()
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid {
                readMore()
                return status & 0x7f != 0 ? 128 + status & 0x7f : status >> 8 & 0xff
            }
            usleep(5_000)
        }
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
        return nil
    }
}
