internal import CLinux
internal import Glibc

extension NetworkNamespace {
    /// Makes a new namespace that lives for as long as something is mounted at its path, and longer while a process is in it.
    /// What is mounted there already is kept below.
    package static func make(at path: String) throws {
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_CREAT)
        try onThread {
            guard clx_unshare_network() == 0 else { throw SystemError.last("make a network namespace") }
            guard clx_mount("/proc/thread-self/ns/net", path, nil, UInt(MS_BIND), nil) == 0 else {
                throw SystemError.last("mount a network namespace at \(path)")
            }
        }
        withExtendedLifetime(file) {}
    }

    /// Takes the path away; what is not there is gone already.
    package static func remove(at path: String) throws(SystemError) {
        while clx_unmount(path, Int32(MNT_DETACH)) == 0 {}
        guard errno == EINVAL || errno == ENOENT else { throw .last("unmount the network namespace at \(path)") }
        guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove \(path)") }
    }
}
