/// The size of a terminal in characters.
package struct TerminalSize: Equatable, Sendable {
    package var rows: UInt16
    package var columns: UInt16

    package init(rows: UInt16, columns: UInt16) {
        self.rows = rows
        self.columns = columns
    }
}

/// A command to run in a sandbox.
package struct ProcessRequest: Equatable, Sendable {
    package var command: [String]
    /// `NAME=value`, complete: nothing is inherited.
    package var environment: [String]
    package var workingDirectory: String
    package var terminal: Bool
    /// Whether there is an input to write to; otherwise it is /dev/null.
    package var openInput: Bool
    package var size: TerminalSize

    package init(
        command: [String], environment: [String], workingDirectory: String, terminal: Bool, openInput: Bool,
        size: TerminalSize = TerminalSize(rows: 0, columns: 0)
    ) {
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.terminal = terminal
        self.openInput = openInput
        self.size = size
    }

    init(from reader: inout WireReader) throws(ShimMessageError) {
        command = try reader.readStrings()
        environment = try reader.readStrings()
        workingDirectory = try reader.readString()
        terminal = try reader.readBool()
        openInput = try reader.readBool()
        let rows = try reader.readUInt16()
        size = TerminalSize(rows: rows, columns: try reader.readUInt16())
    }

    func write(to writer: inout WireWriter) {
        writer.write(command)
        writer.write(environment)
        writer.write(workingDirectory)
        writer.write(terminal)
        writer.write(openInput)
        writer.write(size.rows)
        writer.write(size.columns)
    }
}

/// What a supervisor needs to know to make a sandbox.
package struct LaunchRequest: Equatable, Sendable {
    /// The sandbox's directory on the host.
    package var directory: String
    package var hostname: String
    /// A directory to be the root, or empty for the host's root.
    package var rootfs: String
    package var process: ProcessRequest
    /// In the order in which they are placed.
    package var mounts: [SandboxMount]
    /// Of the first process, and of every command that is run beside it.
    package var confinement: Confinement
    /// Paths below /proc/sys, each with its value after it.
    package var sysctls: [String]
    /// Nothing of the root file system can be written; with one of its own only.
    package var isReadOnly: Bool
    /// The sandbox's first process looks after the command.
    package var hasInit: Bool

    package init(
        directory: String, hostname: String, rootfs: String, process: ProcessRequest, mounts: [SandboxMount] = [],
        confinement: Confinement = Confinement(), sysctls: [String] = [], isReadOnly: Bool = false, hasInit: Bool = false
    ) {
        self.directory = directory
        self.hostname = hostname
        self.rootfs = rootfs
        self.process = process
        self.mounts = mounts
        self.confinement = confinement
        self.sysctls = sysctls
        self.isReadOnly = isReadOnly
        self.hasInit = hasInit
    }

    init(from reader: inout WireReader) throws(ShimMessageError) {
        let (directory, hostname, rootfs) = (try reader.readString(), try reader.readString(), try reader.readString())
        self.init(directory: directory, hostname: hostname, rootfs: rootfs, process: try ProcessRequest(from: &reader))
        // A launcher of a former version says no more.
        guard !reader.isAtEnd else { return }
        for _ in 0..<(try reader.readUInt16()) { mounts.append(try SandboxMount(from: &reader)) }
        confinement = try Confinement(from: &reader)
        sysctls = try reader.readStrings()
        isReadOnly = try reader.readBool()
        hasInit = try reader.readBool()
    }

    func write(to writer: inout WireWriter) {
        writer.write(directory)
        writer.write(hostname)
        writer.write(rootfs)
        process.write(to: &writer)
        writer.write(UInt16(clamping: mounts.count))
        for mount in mounts.prefix(Int(UInt16.max)) { mount.write(to: &writer) }
        confinement.write(to: &writer)
        writer.write(sysctls)
        writer.write(isReadOnly)
        writer.write(hasInit)
    }
}
