internal import CLinux
internal import Glibc

/// A system call that failed, with what was being done and the kernel's reason.
package struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, as an infinitive: "open /run/weft/lock".
    package let operation: String
    /// errno; 0 when the kernel answered something that makes no sense.
    package let code: Int32
    /// More words on the reason, the kernel's own if it gave any.
    package let detail: String?

    package init(_ operation: String, code: Int32, detail: String? = nil) {
        self.operation = operation
        self.code = code
        self.detail = detail
    }

    /// Takes the reason from errno, which must not have been touched since the call.
    package static func last(_ operation: String) -> SystemError { SystemError(operation, code: errno) }

    package var description: String {
        var buffer = [CChar](repeating: 0, count: 256)
        let reason = buffer.withUnsafeMutableBufferPointer { area in
            clx_error_text(code, area.baseAddress, area.count).map { String(cString: $0) } ?? "error \(code)"
        }
        let words = code == 0 ? detail ?? "unexpected answer" : detail.map { "\(reason) (\($0))" } ?? reason
        return "Could not \(operation): \(words)."
    }

    /// What was to be removed is not there.
    package var isNotFound: Bool {
        [ENOENT, ENODEV, ESRCH, EADDRNOTAVAIL, ENXIO, ENOTDIR].contains(code)
    }

    /// The kernel makes no sense of the request as things stand.
    package var isInvalid: Bool { code == EINVAL }

    /// A port or address is another's.
    package var isPortTaken: Bool { code == EADDRINUSE }

    /// What was to be made is there.
    package var alreadyExists: Bool { code == EEXIST }
}
