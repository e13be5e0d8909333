import FoundationEssentials

/// The name of the server's unix socket in the file system.
struct SocketFile {
    let path: String

    /// Lets the owner and the group connect, nobody else: who can, rules the host's networks.
    func restrict() throws {
        try FileManager.default.setAttributes([.posixPermissions: 0o660], ofItemAtPath: path)
    }

    /// Removes the name; one that is gone already is as well.
    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
