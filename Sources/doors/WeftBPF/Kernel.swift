import CBPF
import Glibc

/// The text of a positive errno.
func errorText(_ number: Int32) -> String {
    strerror(number).map { String(cString: $0) } ?? "error \(number)"
}

/// Calls into CBPF, and turns a negative result into an error that carries what libbpf said meanwhile.
@discardableResult
func call<Result: FixedWidthInteger & SignedInteger>(
    _ operation: @autoclosure () -> String, _ body: () -> Result
) throws(BPFError) -> Result {
    cbpf_log_reset()
    let result = body()
    guard result < 0 else { return result }
    throw BPFError(operation: operation(), errno: Int32(-result), log: String(cString: cbpf_log()))
}

/// A descriptor of a map, program or link, closed at the end of its life.
struct Descriptor: ~Copyable, Sendable {
    let rawValue: Int32

    init(_ rawValue: Int32) { self.rawValue = rawValue }

    /// Opens a pinned object; nil when there is none at `path`.
    init?(pinnedAt path: String) throws(BPFError) {
        cbpf_log_reset()
        let result = cbpf_get_pinned(path)
        if result == -ENOENT { return nil }
        guard result >= 0 else {
            throw BPFError(operation: "open \(path)", errno: -result, log: String(cString: cbpf_log()))
        }
        rawValue = result
    }

    deinit { close(rawValue) }
}

/// A descriptor with several users, closed when the last of them has gone.
final class SharedDescriptor: Sendable {
    let descriptor: Descriptor
    var rawValue: Int32 { descriptor.rawValue }

    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}
