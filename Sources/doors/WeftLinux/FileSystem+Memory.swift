internal import CLinux
internal import Glibc

/// Files that must not reach a disk.
extension FileSystem {
    /// Makes a directory whose files are in memory alone: one on a disk gets a tmpfs over it.
    package static func makeDirectoryInMemory(_ path: String, mode: UInt32) throws(SystemError) {
        try makeDirectory(path, mode: mode)
        switch clx_is_in_memory(path) {
        case 1: return
        case 0: break
        default: throw .last("look at \(path)")
        }
        guard clx_mount("tmpfs", path, "tmpfs", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), "mode=\(String(mode, radix: 8))") == 0
        else { throw .last("mount a tmpfs at \(path)") }
    }

    /// Writes a file that is nobody's before it is its owner's.
    package static func write(
        _ bytes: [UInt8], to path: String, owner: (uid: UInt32, gid: UInt32), mode: UInt32
    ) throws(SystemError) {
        let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard fd >= 0 else { throw .last("open \(path)") }
        defer { close(fd) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress.map { $0 + written }, bytes.count - written) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .last("write \(path)") }
            written += count
        }
        guard fchown(fd, owner.uid, owner.gid) == 0, fchmod(fd, mode & 0o7777) == 0 else { throw .last("give away \(path)") }
    }
}
