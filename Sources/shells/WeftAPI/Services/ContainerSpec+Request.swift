import WeftModel
import WeftText

extension ContainerSpec {
    init(_ fields: Fields) throws(APIError) {
        self.init(image: try fields.string("Image") ?? "")
        rootfs = try fields.text("Rootfs")
        labels = try fields.map("Labels")
        command = try fields.strings("Command")
        arguments = try fields.strings("Args")
        hostname = try fields.string("Hostname") ?? ""
        environment = try fields.strings("Env")
        directory = try fields.string("Dir") ?? ""
        user = try fields.string("User") ?? ""
        groups = try fields.strings("Groups")
        hasTerminal = try fields.bool("TTY")
        opensStandardInput = try fields.bool("OpenStdin")
        try readProcess(fields)
        try readFiles(fields)
    }

    private mutating func readProcess(_ fields: Fields) throws(APIError) {
        privileges = try fields.fields("Privileges").map(Privileges.init)
        usesInit = try fields.optionalBool("Init")
        stopSignal = try fields.string("StopSignal") ?? ""
        isReadOnly = try fields.bool("ReadOnly")
        stopGracePeriod = try fields.span("StopGracePeriod", negative: "ContainerSpec: stop-grace-period cannot be negative")
        healthcheck = try fields.fields("Healthcheck").map(Healthcheck.init)
        if let text = try fields.text("Isolation"), text.lowercased() != "default" {
            throw .unavailable("\(fields.name("Isolation")) \"\(text)\" is Windows'; leave it out")
        }
        sysctls = try fields.map("Sysctls")
        addedCapabilities = try fields.strings("CapabilityAdd")
        droppedCapabilities = try fields.strings("CapabilityDrop")
        limits = try fields.objects("Ulimits").map(ProcessLimit.init)
        oomScoreAdjustment = try fields.integer("OomScoreAdj") ?? 0
    }

    private mutating func readFiles(_ fields: Fields) throws(APIError) {
        mounts = try fields.objects("Mounts").map(Mount.init)
        var targets: Set<String> = []
        for mount in mounts {
            guard targets.insert(mount.target).inserted else {
                throw .invalidArgument("ContainerSpec: duplicate mount point: \(mount.target)")
            }
        }
        hosts = try fields.strings("Hosts")
        if let sent = try fields.fields("DNSConfig") {
            dns.nameservers = try sent.strings("Nameservers")
            dns.search = try sent.strings("Search")
            dns.options = try sent.strings("Options")
        }
        secrets = try fields.objects("Secrets").map { sent throws(APIError) in try FileReference(sent, kind: "secret") }
        configs = try fields.objects("Configs").map { sent throws(APIError) in try FileReference(sent, kind: "config") }
        try Self.checkTargets(secrets, kind: "secret")
        try Self.checkTargets(configs, kind: "config")
    }

    private static func checkTargets(_ files: [FileReference], kind: String) throws(APIError) {
        var names: [String: String] = [:]
        for file in files {
            guard let target = file.target else { continue }
            if let other = names.updateValue(file.name, forKey: target) {
                throw .invalidArgument("\(kind) references '\(other)' and '\(file.name)' have a conflicting target: '\(target)'")
            }
        }
    }
}

extension ContainerSpec.Privileges {
    fileprivate init(_ fields: Fields) throws(APIError) {
        self.init()
        try fields.refuse("CredentialSpec", because: "it is Windows'; leave it out")
        if let sent = try fields.fields("SELinuxContext") {
            var context = SELinux()
            context.isDisabled = try sent.bool("Disable")
            context.user = try sent.string("User") ?? ""
            context.role = try sent.string("Role") ?? ""
            context.type = try sent.string("Type") ?? ""
            context.level = try sent.string("Level") ?? ""
            selinux = context
        }
        if let sent = try fields.fields("Seccomp") {
            seccompMode = try Self.mode(sent, of: ["default", "unconfined", "custom"])
            seccompProfile = try sent.text("Profile")
            guard (seccompMode == "custom") == (seccompProfile != nil) else {
                throw .invalidArgument("\(sent.name("Profile")) goes with the mode custom, and with no other")
            }
        }
        if let sent = try fields.fields("AppArmor") { appArmorMode = try Self.mode(sent, of: ["default", "disabled"]) }
        noNewPrivileges = try fields.bool("NoNewPrivileges")
    }

    private static func mode(_ fields: Fields, of modes: [String]) throws(APIError) -> String? {
        guard let mode = try fields.text("Mode") else { return nil }
        guard modes.contains(mode) else {
            throw .badRequest("\(fields.name("Mode")) is \"\(mode)\"; there are \(modes.joined(separator: ", "))")
        }
        return mode
    }
}

extension ContainerSpec.Healthcheck {
    fileprivate init(_ fields: Fields) throws(APIError) {
        self.init()
        test = try fields.strings("Test")
        interval = try Self.span(fields, "Interval")
        timeout = try Self.span(fields, "Timeout")
        startPeriod = try Self.span(fields, "StartPeriod")
        startInterval = try Self.span(fields, "StartInterval")
        retries = try fields.integer("Retries") ?? 0
        guard retries >= 0 else { throw .invalidArgument("ContainerSpec: Retries in HealthConfig cannot be negative") }
        if let word = test.first, !["NONE", "CMD", "CMD-SHELL"].contains(word) {
            throw .badRequest("\(fields.name("Test")) begins with \"\(word)\"; there are NONE, CMD and CMD-SHELL")
        }
    }

    private static func span(_ fields: Fields, _ key: String) throws(APIError) -> Int64 {
        try fields.span(key, negative: "ContainerSpec: \(key) in HealthConfig cannot be negative") ?? 0
    }
}

extension ContainerSpec.ProcessLimit {
    fileprivate init(_ fields: Fields) throws(APIError) {
        guard let name = try fields.text("Name") else { throw .badRequest("\(fields.name("Name")) is missing") }
        self.init(name: name, soft: try fields.integer("Soft") ?? 0, hard: try fields.integer("Hard") ?? 0)
    }
}

extension ContainerSpec.FileReference {
    /// `SecretID`, `SecretName` and `File`, or the same of a config.
    fileprivate init(_ fields: Fields, kind: String) throws(APIError) {
        let key = kind.prefix(1).uppercased() + kind.dropFirst()
        try fields.refuse("Runtime", because: "an engine uses configs by itself for credential specs alone, which are Windows'")
        guard let id = try fields.text("\(key)ID"), let name = try fields.text("\(key)Name") else {
            throw .invalidArgument("malformed \(kind) reference")
        }
        guard let file = try fields.fields("File"), let target = try file.text("Name") else {
            throw .invalidArgument("malformed file \(kind) reference, no target provided")
        }
        self.init(id: id, name: name, target: target)
        uid = try file.text("UID") ?? uid
        gid = try file.text("GID") ?? gid
        for (key, number) in [("UID", uid), ("GID", gid)] {
            guard UInt32(number) != nil else { throw .badRequest("\(file.name(key)) is \"\(number)\"; give a number") }
        }
        mode = try file.mode("Mode") ?? 0
    }
}

extension ContainerSpec.Mount {
    fileprivate init(_ fields: Fields) throws(APIError) {
        guard let target = try fields.text("Target") else { throw .invalidArgument("mount: \(fields.name("Target")) is missing") }
        self.init(target: target)
        let text = try fields.text("Type") ?? ""
        guard let kind = Kind(rawValue: text.lowercased()) else { throw .badRequest("invalid MountType: \"\(text)\"") }
        self.kind = kind
        switch kind {
        case .npipe: throw .unavailable("\(fields.name("Type")) npipe is Windows'; leave it out")
        case .cluster:
            throw .unavailable(
                "\(fields.name("Type")) cluster is not available in this version of Weft: there are no volumes of the swarm's")
        case .bind, .volume, .tmpfs, .image: break
        }
        source = try fields.string("Source") ?? ""
        isReadOnly = try fields.bool("ReadOnly")
        consistency = try fields.string("Consistency") ?? ""
        try fields.refuse("ClusterOptions", because: "there are no volumes of the swarm's")
        try fields.object("ImageOptions").refuse("Subpath", because: "an image is mounted whole")
        try readBind(fields.object("BindOptions"))
        try readVolume(fields.object("VolumeOptions"))
        let tmpfs = try fields.object("TmpfsOptions")
        try tmpfs.refuse("Options", because: "size and mode are what can be said")
        tmpfsSizeBytes = try tmpfs.integer("SizeBytes") ?? 0
        tmpfsMode = try tmpfs.mode("Mode") ?? 0
    }

    private mutating func readBind(_ fields: Fields) throws(APIError) {
        try fields.refuse(
            "ReadOnlyNonRecursive", "ReadOnlyForceRecursive",
            because: "it needs version 1.44 of the API; a mount is read-only as the engine does it")
        isNonRecursive = try fields.bool("NonRecursive")
        createsSource = try fields.bool("CreateMountpoint")
        guard let text = try fields.text("Propagation") else { return }
        guard ["rprivate", "private", "rshared", "shared", "rslave", "slave"].contains(text) else {
            throw .badRequest("invalid MountPropagation: \"\(text)\"")
        }
        propagation = text
    }

    private mutating func readVolume(_ fields: Fields) throws(APIError) {
        volumeNoCopy = try fields.bool("NoCopy")
        volumeLabels = try fields.map("Labels")
        volumeSubpath = try fields.string("Subpath") ?? ""
        guard let driver = try fields.fields("DriverConfig") else { return }
        volumeDriver = LogDriver(name: try driver.string("Name") ?? "", options: try driver.map("Options"))
    }
}
