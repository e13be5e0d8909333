import WeftModel
import WeftText

/// `ContainerSpec`, as Docker prints it.
func containerJSON(_ spec: ContainerSpec, of runtime: TaskSpec.Runtime) -> JSON {
    var members = Members()
    members.add("Image", ifSaid: spec.image)
    members.add("Rootfs", ifSaid: spec.rootfs ?? "")
    members.add("Labels", ifSaid: spec.labels)
    members.add("Command", ifSaid: spec.command)
    members.add("Args", ifSaid: spec.arguments)
    members.add("Hostname", ifSaid: spec.hostname)
    members.add("Env", ifSaid: spec.environment)
    members.add("Dir", ifSaid: spec.directory)
    members.add("User", ifSaid: spec.user)
    members.add("Groups", ifSaid: spec.groups)
    members.add("Privileges", ifThere: spec.privileges.map(privilegesJSON))
    members.add("Init", ifThere: spec.usesInit.map(JSON.bool))
    members.add("StopSignal", ifSaid: spec.stopSignal)
    members.add("TTY", ifTrue: spec.hasTerminal)
    members.add("OpenStdin", ifTrue: spec.opensStandardInput)
    members.add("ReadOnly", ifTrue: spec.isReadOnly)
    members.add("Mounts", ifSaid: spec.mounts.map(mountJSON))
    members.add("StopGracePeriod", ifThere: spec.stopGracePeriod.map(JSON.integer))
    members.add("Healthcheck", ifThere: spec.healthcheck.map(healthcheckJSON))
    members.add("Hosts", ifSaid: spec.hosts)
    members.add("DNSConfig", resolverJSON(spec.dns))
    members.add("Secrets", ifSaid: spec.secrets.map { referenceJSON($0, kind: "Secret") })
    members.add("Configs", ifSaid: spec.configs.map { referenceJSON($0, kind: "Config") })
    if runtime == .container { members.add("Isolation", "default") }
    members.add("Sysctls", ifSaid: spec.sysctls)
    members.add("CapabilityAdd", ifSaid: spec.addedCapabilities)
    members.add("CapabilityDrop", ifSaid: spec.droppedCapabilities)
    members.add(
        "Ulimits",
        ifSaid: spec.limits.map { ["Name": .string($0.name), "Hard": .integer($0.hard), "Soft": .integer($0.soft)] })
    members.add("OomScoreAdj", ifSaid: spec.oomScoreAdjustment)
    return members.json
}

private func privilegesJSON(_ privileges: ContainerSpec.Privileges) -> JSON {
    var members = Members()
    members.add("CredentialSpec", .null)
    members.add(
        "SELinuxContext",
        privileges.selinux.map { context in
            [
                "Disable": .bool(context.isDisabled), "User": .string(context.user), "Role": .string(context.role),
                "Type": .string(context.type), "Level": .string(context.level),
            ]
        } ?? .null)
    if let mode = privileges.seccompMode {
        var seccomp: JSON = ["Mode": .string(mode)]
        if let profile = privileges.seccompProfile { seccomp.append("Profile", .string(profile)) }
        members.add("Seccomp", seccomp)
    }
    members.add("AppArmor", ifThere: privileges.appArmorMode.map { ["Mode": .string($0)] })
    members.add("NoNewPrivileges", .bool(privileges.noNewPrivileges))
    return members.json
}

private func healthcheckJSON(_ check: ContainerSpec.Healthcheck) -> JSON {
    var members = Members()
    members.add("Test", ifSaid: check.test)
    members.add("Interval", ifSaid: check.interval)
    members.add("Timeout", ifSaid: check.timeout)
    members.add("StartPeriod", ifSaid: check.startPeriod)
    members.add("StartInterval", ifSaid: check.startInterval)
    members.add("Retries", ifSaid: check.retries)
    return members.json
}

private func resolverJSON(_ settings: ContainerSpec.ResolverSettings) -> JSON {
    var members = Members()
    members.add("Nameservers", ifSaid: settings.nameservers)
    members.add("Search", ifSaid: settings.search)
    members.add("Options", ifSaid: settings.options)
    return members.json
}

private func referenceJSON(_ file: ContainerSpec.FileReference, kind: String) -> JSON {
    var members = Members()
    if let target = file.target {
        members.add(
            "File",
            [
                "Name": .string(target), "UID": .string(file.uid), "GID": .string(file.gid), "Mode": .integer(Int64(file.mode)),
            ])
    }
    members.add("\(kind)ID", .string(file.id))
    members.add("\(kind)Name", .string(file.name))
    return members.json
}

private func mountJSON(_ mount: ContainerSpec.Mount) -> JSON {
    var members = Members()
    members.add("Type", .string(mount.kind.rawValue))
    members.add("Source", ifSaid: mount.source)
    members.add("Target", .string(mount.target))
    members.add("ReadOnly", ifTrue: mount.isReadOnly)
    members.add("Consistency", ifSaid: mount.consistency)
    var bind = Members()
    bind.add("Propagation", ifSaid: mount.propagation ?? "")
    bind.add("NonRecursive", ifTrue: mount.isNonRecursive)
    bind.add("CreateMountpoint", ifTrue: mount.createsSource)
    if bind.json != [:] { members.add("BindOptions", bind.json) }
    var volume = Members()
    volume.add("NoCopy", ifTrue: mount.volumeNoCopy)
    volume.add("Labels", ifSaid: mount.volumeLabels)
    volume.add("Subpath", ifSaid: mount.volumeSubpath)
    volume.add("DriverConfig", ifThere: mount.volumeDriver.map(driverJSON))
    if volume.json != [:] { members.add("VolumeOptions", volume.json) }
    var tmpfs = Members()
    tmpfs.add("SizeBytes", ifSaid: mount.tmpfsSizeBytes)
    tmpfs.add("Mode", ifSaid: Int64(mount.tmpfsMode))
    if tmpfs.json != [:] { members.add("TmpfsOptions", tmpfs.json) }
    return members.json
}
