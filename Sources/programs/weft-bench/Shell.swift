import CBench
import Glibc
import WeftLinux

/// A sentence for the person at the terminal.
struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Runs a program to its end; throws what it said when it failed.
@discardableResult
func run(_ arguments: [String]) throws -> String {
    let outcome = try ChildProcess.run(arguments)
    guard outcome.status == 0 else {
        let said = outcome.errorOutput.isEmpty ? outcome.output : outcome.errorOutput
        throw BenchError("`\(arguments.joined(separator: " "))` failed: \(said)")
    }
    return outcome.output
}

/// `arguments`, to be run in a network namespace.
func inside(_ netns: String, _ arguments: [String]) -> [String] { ["nsenter", "--net=\(netns)", "--"] + arguments }

/// A program in the background, spoken to over pipes. Killed at the end of its life.
final class Companion {
    private let pid: pid_t
    private let input: OwnedDescriptor
    private let output: OwnedDescriptor
    private var pending: [UInt8] = []

    init(_ arguments: [String]) throws {
        var strings = arguments.map { strdup($0) } + [nil]
        defer { strings.forEach { free($0) } }
        var (pid, input, output): (pid_t, Int32, Int32) = (0, -1, -1)
        let code = bench_spawn(&strings, &pid, &input, &output)
        guard code == 0 else {
            throw BenchError("cannot start \(arguments.first ?? ""): \(String(cString: strerror(-code)))")
        }
        self.pid = pid
        self.input = OwnedDescriptor(owning: input)
        self.output = OwnedDescriptor(owning: output)
    }

    deinit {
        kill(pid, SIGKILL)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    }

    func write(line: String) throws {
        let bytes = Array("\(line)\n".utf8)
        guard Glibc.write(input.rawValue, bytes, bytes.count) == bytes.count else {
            throw BenchError("a helper process has ended early")
        }
    }

    /// The next line, without its end. Throws at the end of the output.
    func readLine() throws -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            if let end = pending.firstIndex(of: 0x0a) {
                defer { pending.removeSubrange(...end) }
                return String(decoding: pending[..<end], as: UTF8.self)
            }
            let count = read(output.rawValue, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw BenchError("a helper process has ended early") }
            pending += buffer[..<count]
        }
    }
}
