internal import Glibc

/// A directory that one process at a time uses. The lock is on the directory itself, so that nothing is left behind; children do not
/// inherit it, and it ends with the process whatever ends that.
package final class DirectoryLock: Sendable {
    private let descriptor: OwnedDescriptor

    /// Waits up to `seconds` for a process that is just ending.
    /// - Throws: `DirectoryInUse` if another process has it then. What this process has locked already can be locked again.
    package init(_ path: String, seconds: Int = 5) throws {
        let directory = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY)
        var attempts = seconds * 20
        while flock(directory.rawValue, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK else { throw SystemError.last("lock \(path)") }
            let holder = try Self.holder(of: directory)
            if holder == getpid() { break }
            guard attempts > 0 else { throw DirectoryInUse(path: path, process: holder) }
            attempts -= 1
            usleep(50_000)
        }
        descriptor = directory
    }

    /// Which process locks the directory: /proc/locks names device and inode. Nil where the file system shows another device there.
    private static func holder(of descriptor: borrowing OwnedDescriptor) throws -> pid_t? {
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw SystemError.last("inspect a locked directory") }
        let inode = ":\(status.st_ino)"
        let device = "\(hex(major(status.st_dev))):\(hex(minor(status.st_dev)))"
        for line in try FileSystem.readText("/proc/locks").split(separator: "\n") {
            // 3: FLOCK  ADVISORY  WRITE 592 00:1b:1234 0 EOF
            let fields = line.split(separator: " ")
            if fields.count == 8, fields[1] == "FLOCK", fields[5] == device + inode { return pid_t(fields[4]) }
        }
        return nil
    }

    // The C library's macros; numbers past 8 and 20 bits do not occur.
    private static func major(_ device: dev_t) -> UInt32 { UInt32(device >> 8 & 0xfff) }
    private static func minor(_ device: dev_t) -> UInt32 { UInt32(device & 0xff | device >> 12 & 0xfff00) }

    private static func hex(_ number: UInt32) -> String {
        let digits = String(number, radix: 16)
        return digits.count < 2 ? "0\(digits)" : digits
    }
}

/// Another process has the directory.
package struct DirectoryInUse: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    /// Nil if it is not known.
    package let process: Int32?

    package var description: String {
        "another weftd\(process.map { " (pid \($0))" } ?? "") uses \(path); end it, or give this one directories of its own: "
            + "--run-dir, --state-dir, --bpf-dir"
    }
}
