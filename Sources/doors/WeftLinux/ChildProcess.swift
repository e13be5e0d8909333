internal import CLinux
internal import Glibc

/// A program run to its end.
package enum ChildProcess {
    package struct Outcome: Hashable, Sendable {
        /// The exit code, or 128 + the signal that ended it.
        package let status: Int32
        package let output: String
        package let errorOutput: String
    }

    /// Runs `arguments[0]`, found by PATH, in the calling thread's network namespace, with `input` as its standard input,
    /// and waits. Blocks the calling thread.
    package static func run(_ arguments: [String], input: String = "") throws(SystemError) -> Outcome {
        let program = arguments.first ?? ""
        let operation = "run \(program)"
        let outputFile = try temporaryFile(operation)
        let errorFile = try temporaryFile(operation)
        let inputFile = try temporaryFile(operation)
        try inputFile.writeAll(input.utf8, operation)
        guard lseek(inputFile.rawValue, 0, SEEK_SET) == 0 else { throw .last(operation) }

        // Files instead of pipes: no pipe can fill up and no reader thread is needed.
        var strings = arguments.map { strdup($0) } + [nil]
        defer { strings.forEach { free($0) } }
        var pid: pid_t = 0
        let code = clx_spawn(&pid, &strings, inputFile.rawValue, outputFile.rawValue, errorFile.rawValue)
        guard code == 0 else {
            throw SystemError(operation, code: code, detail: code == ENOENT ? "is it installed?" : nil)
        }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            if errno != EINTR { throw .last("wait for \(program)") }
        }
        let signal = status & 0x7f
        return Outcome(
            status: signal == 0 ? status >> 8 & 0xff : 128 + signal, output: try content(outputFile, operation),
            errorOutput: try content(errorFile, operation))
    }

    /// An open file without a name.
    private static func temporaryFile(_ operation: String) throws(SystemError) -> OwnedDescriptor {
        let descriptor = clx_memory_file("weft")
        guard descriptor >= 0 else { throw .last(operation) }
        return OwnedDescriptor(owning: descriptor)
    }

    private static func content(_ file: borrowing OwnedDescriptor, _ operation: String) throws(SystemError) -> String {
        guard lseek(file.rawValue, 0, SEEK_SET) == 0 else { throw .last(operation) }
        return String(decoding: try file.readToEnd(operation), as: UTF8.self)
    }
}
