/// Who the processes of a sandbox are, and what they may do.
package struct Confinement: Equatable, Hashable, Sendable, Codable {
    /// A limit as of setrlimit(2).
    package struct Limit: Equatable, Hashable, Sendable, Codable {
        package var name: String
        package var resource: UInt32
        /// All bits set: none.
        package var soft: UInt64
        package var hard: UInt64

        package init(name: String, resource: UInt32, soft: UInt64, hard: UInt64) {
            self.name = name
            self.resource = resource
            self.soft = soft
            self.hard = hard
        }
    }

    /// Docker's default set: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD
    /// AUDIT_WRITE SETFCAP.
    package static let defaultCapabilities: UInt64 = 0xa804_25fb

    /// A name or number, which may have `:group` after it; empty: root.
    package var user = ""
    /// More groups, by name or number.
    package var groups: [String] = []
    /// A bit for each that they may have, as of capabilities(7).
    package var capabilities = Self.defaultCapabilities
    package var noNewPrivileges = false
    package var oomScoreAdjustment: Int32 = 0
    package var limits: [Limit] = []
    /// The host's files by which a process joins its control groups.
    package var controlGroups: [String] = []

    package init() {}

    init(from reader: inout WireReader) throws(ShimMessageError) {
        user = try reader.readString()
        groups = try reader.readStrings()
        capabilities = try reader.readUInt64()
        noNewPrivileges = try reader.readBool()
        oomScoreAdjustment = Int32(bitPattern: try reader.readUInt32())
        for _ in 0..<(try reader.readUInt16()) {
            let (name, resource) = (try reader.readString(), try reader.readUInt32())
            limits.append(Limit(name: name, resource: resource, soft: try reader.readUInt64(), hard: try reader.readUInt64()))
        }
        controlGroups = try reader.readStrings()
    }

    func write(to writer: inout WireWriter) {
        writer.write(user)
        writer.write(groups)
        writer.write(capabilities)
        writer.write(noNewPrivileges)
        writer.write(UInt32(bitPattern: oomScoreAdjustment))
        writer.write(UInt16(clamping: limits.count))
        for limit in limits.prefix(Int(UInt16.max)) {
            writer.write(limit.name)
            writer.write(limit.resource)
            writer.write(limit.soft)
            writer.write(limit.hard)
        }
        writer.write(controlGroups)
    }
}

/// Something that is seen inside a sandbox at a path of its own.
package struct SandboxMount: Equatable, Hashable, Sendable, Codable {
    /// A file or directory of the host's; nil: a file system in memory.
    package var source: String?
    package var target: String
    /// Of a file system in memory, as mount(8) takes them.
    package var options = ""
    package var isReadOnly = false
    /// With what is mounted below the source.
    package var isRecursive = true
    /// Makes the source, a directory, where it is missing.
    package var makesSource = false
    /// What the host mounts below the source later is seen too.
    package var followsHost = false

    package init(source: String?, target: String, isReadOnly: Bool = false) {
        self.source = source
        self.target = target
        self.isReadOnly = isReadOnly
    }

    init(from reader: inout WireReader) throws(ShimMessageError) {
        let source = try reader.readString()
        self.source = source.isEmpty ? nil : source
        target = try reader.readString()
        options = try reader.readString()
        isReadOnly = try reader.readBool()
        isRecursive = try reader.readBool()
        makesSource = try reader.readBool()
        followsHost = try reader.readBool()
    }

    func write(to writer: inout WireWriter) {
        writer.write(source ?? "")
        writer.write(target)
        writer.write(options)
        writer.write(isReadOnly)
        writer.write(isRecursive)
        writer.write(makesSource)
        writer.write(followsHost)
    }
}
