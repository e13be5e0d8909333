package import WeftLinux

/// An operation on the kernel's BPF objects that could not be done.
package enum BPFError: Error, Sendable, CustomStringConvertible {
    /// The kernel refused. `operation`: what was being done, with the object's name: "pin map weft_forward". `errno`: the kernel's error
    /// number, positive. `log`: what libbpf and the verifier said; empty when nothing.
    case failed(operation: String, errno: Int32, log: String)
    /// The kernel has no such thing.
    case unsupported(UnsupportedKernelFeature)

    init(operation: String, errno: Int32, log: String = "") {
        self = .failed(operation: operation, errno: errno, log: log)
    }

    init(_ error: SystemError) {
        self.init(operation: error.operation, errno: error.code, log: error.detail ?? "")
    }

    package var description: String {
        switch self {
        case .failed(let operation, let errno, let log):
            let reason = "cannot \(operation): \(errorText(errno))"
            return log.isEmpty ? reason : "\(reason)\n\(log)"
        case .unsupported(let feature): return feature.description
        }
    }
}
