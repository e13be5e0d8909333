import WeftLinux

extension Lab {
    /// What `weft lab image --busybox` names its image when nothing else is said.
    package static let busyboxTags = ["busybox:latest", "alpine:latest"]

    /// Loads an image saved with `docker save` into every host's engine, and gives it these names too.
    package func load(image path: String, tags: [String]) throws {
        for engine in try runningEngines() {
            let output = try docker(engine, ["load", "--input", path])
            // "Loaded image: NAME" or "Loaded image ID: sha256:…", a line each.
            let loaded = output.split(separator: "\n").last.flatMap { $0.split(separator: " ").last }.map(String.init)
            guard let loaded else { throw LabError.image("docker load of \(path) does not tell what it loaded: \(output)") }
            for tag in tags { _ = try docker(engine, ["tag", loaded, tag]) }
        }
    }

    /// Makes an image of this machine's busybox, so that no registry is needed, and loads it into every host's engine.
    package func loadBusybox(tags: [String]) throws {
        let engines = try runningEngines()
        let path = "\(directory)/busybox.tar"
        try FileSystem.writeAtomically(try Self.busyboxRoot(), to: path, mode: 0o644)
        let tags = tags.isEmpty ? Self.busyboxTags : tags
        for engine in engines {
            let search = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            _ = try docker(engine, ["import", "--change", "CMD [\"sh\"]", "--change", search, path, tags[0]])
            for tag in tags.dropFirst() { _ = try docker(engine, ["tag", tags[0], tag]) }
        }
    }

    private func runningEngines() throws -> [LabProcess] {
        let hosts = hosts()
        guard !hosts.isEmpty else { throw LabError.notUp }
        return try hosts.map { host in
            guard let engine = host.engine else { throw LabError.noEngine }
            guard engine.pid != nil else { throw LabError.notRunning(engine.program, host: host.name) }
            return engine
        }
    }

    private func docker(_ engine: LabProcess, _ arguments: [String]) throws -> String {
        let result = try ChildProcess.run(["docker", "--host", "unix://\(engine.socket)"] + arguments)
        guard result.status == 0 else {
            throw LabError.image("\(engine.host.name): docker \(arguments[0]) failed: \(result.errorOutput)")
        }
        return result.output
    }

    /// A root file system with busybox as every command it can be.
    private static func busyboxRoot() throws -> [UInt8] {
        guard let busybox = ["/bin/busybox", "/usr/bin/busybox"].first(where: { FileSystem.exists($0) }) else {
            throw LabError.image("there is no busybox on this machine: install the package busybox-static")
        }
        // A dynamic one would miss its libraries in there.
        guard try ChildProcess.run([busybox, "--list"]).status == 0,
            try ChildProcess.run(["/bin/sh", "-c", "ldd \(busybox) 2>&1 | grep -q '=>'"]).status != 0
        else { throw LabError.image("\(busybox) is not static: install the package busybox-static") }
        var archive = TarArchive()
        let directories = ["bin", "sbin", "usr", "usr/bin", "usr/sbin", "etc", "proc", "sys", "dev", "run", "var", "root", "home", "mnt"]
        for path in directories { archive.addDirectory(path) }
        for path in ["tmp", "var/tmp"] { archive.addDirectory(path, mode: 0o1777) }
        archive.addFile("bin/busybox", try FileSystem.read(busybox), mode: 0o755)
        let commands = try ChildProcess.run([busybox, "--list"]).output.split(separator: "\n").map(String.init)
        for command in commands where command != "busybox" { archive.addLink("bin/\(command)", to: "busybox") }
        archive.addLink("usr/bin/env", to: "/bin/busybox")
        archive.addFile("etc/passwd", Array("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n".utf8))
        archive.addFile("etc/group", Array("root:x:0:\nnobody:x:65534:\n".utf8))
        return archive.finished
    }
}
