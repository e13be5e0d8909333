// Linux for the rest of Weft: descriptors, network namespaces, netlink, nftables, sysctls. Calls block; those that concern a
// namespace are made on a thread that is in it. Errors name the call and what it was for (`SystemError`).
internal import CLinux
internal import Glibc

/// A file descriptor with one owner, closed when the owner goes.
package struct OwnedDescriptor: ~Copyable, Sendable {
    /// Valid as long as this value lives.
    package let rawValue: Int32

    /// Takes the descriptor over.
    package init(owning rawValue: Int32) { self.rawValue = rawValue }

    /// Opens a file close-on-exec. `flags` are open(2)'s, `mode` the permissions of a file it creates.
    package init(opening path: String, flags: Int32, mode: UInt32 = 0o600) throws(SystemError) {
        let descriptor = clx_open(path, flags, mode)
        guard descriptor >= 0 else { throw .last("open \(path)") }
        rawValue = descriptor
    }

    deinit { close(rawValue) }

    /// Gives the descriptor away without closing it.
    package consuming func release() -> Int32 {
        let descriptor = rawValue
        discard self
        return descriptor
    }

    /// Reads until the end. `limit` bytes at most.
    package func readToEnd(_ operation: String, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while result.count <= limit {
            let count = read(rawValue, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw .last(operation)
            }
            if count == 0 { return result }
            result.append(contentsOf: buffer[..<count])
        }
        throw SystemError(operation, code: EFBIG)
    }

    /// Writes all of it.
    package func writeAll(_ bytes: some Collection<UInt8>, _ operation: String) throws(SystemError) {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(rawValue, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw .last(operation)
            }
            rest = rest.dropFirst(count)
        }
    }
}
