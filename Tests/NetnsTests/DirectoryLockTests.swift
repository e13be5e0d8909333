import Glibc
import Testing
import WeftLinux

@Suite struct DirectoryLockTests {
    private let directory = "/tmp/weft-lock-\(getpid())-\(HostSystem.randomBytes(4).map { String($0, radix: 16) }.joined())"

    @Test("Another process is refused, is named, and is waited for while it ends")
    func other() throws {
        try FileSystem.makeDirectory(directory)
        defer { try? FileSystem.removeTree(directory) }
        // -F: one process from the lock to the sleep.
        let words = ["flock", "-F", directory, "sh", "-c", "touch \(directory)/locked; exec sleep 60"]
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var holder: pid_t = 0
        try #require(posix_spawnp(&holder, "flock", nil, nil, arguments, environ) == 0)
        #expect(try eventually { FileSystem.exists("\(directory)/locked") })
        let error = #expect(throws: DirectoryInUse.self) { _ = try DirectoryLock(directory, seconds: 0) }
        #expect(error?.path == directory)
        #expect(error?.process == holder)
        kill(holder, SIGKILL)
        waitpid(holder, nil, 0)
        _ = try DirectoryLock(directory)
    }

    @Test("What this process has locked can be locked again")
    func own() throws {
        try FileSystem.makeDirectory(directory)
        defer { try? FileSystem.removeTree(directory) }
        let first = try DirectoryLock(directory, seconds: 0)
        withExtendedLifetime(first) { #expect(throws: Never.self) { _ = try DirectoryLock(directory, seconds: 0) } }
    }

    @Test("A directory that is not there cannot be locked")
    func absent() {
        #expect(throws: SystemError.self) { _ = try DirectoryLock(directory, seconds: 0) }
    }
}
