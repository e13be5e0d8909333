import WeftLinux

/// A failed operation on the kernel's BPF objects.
package struct BPFError: Error, Sendable, CustomStringConvertible {
    /// What was being done, with the object's name: "pin map weft_forward".
    package let operation: String
    /// The kernel's error number, positive.
    package let errno: Int32
    /// What libbpf and the verifier said; empty when nothing.
    package let log: String

    package init(operation: String, errno: Int32, log: String = "") {
        self.operation = operation
        self.errno = errno
        self.log = log
    }

    init(_ error: SystemError) {
        self.init(operation: error.operation, errno: error.code, log: error.detail ?? "")
    }

    package var description: String {
        let reason = "cannot \(operation): \(errorText(errno))"
        return log.isEmpty ? reason : "\(reason)\n\(log)"
    }
}
