import WeftModel

/// Secrets and configs: what an operator does with them.
enum SharedFiles {
    static func create<File: SharedFile>(
        _ spec: SharedFileSpec, in round: inout Round, random: inout some RandomNumberGenerator
    ) throws(ControlError) -> File {
        try check(spec, File.self)
        guard round.tables.byKind[File.self].values.allSatisfy({ $0.spec.name != spec.name }) else {
            throw ControlError(
                .conflict, "rpc error: code = AlreadyExists desc = \(File.kind) \(spec.name) already exists")
        }
        let id = Identifier<ServiceTag>.random(using: &random).rawValue
        let file = File(id: id, createdAt: round.wallClock, spec: spec)
        round.draft.put(file)
        return file
    }

    static func update<File: SharedFile>(
        _ id: String, version: Version, spec: SharedFileSpec, in round: inout Round
    ) throws(ControlError) -> File {
        var file: File = try find(id, in: round)
        guard file.version == version else { throw .outOfSequence }
        guard spec.name == file.spec.name, spec.data == file.spec.data || spec.data.exposed.isEmpty,
            spec.templating == file.spec.templating || spec.templating == nil
        else {
            throw ControlError(
                .invalid, "rpc error: code = InvalidArgument desc = only updates to Labels are allowed")
        }
        guard Bounds.bytes(spec.labels) <= Bounds.specBytes else { throw .tooLarge(File.kind.name) }
        file.spec.labels = spec.labels
        file.updatedAt = round.wallClock
        round.draft.put(file)
        return file
    }

    static func remove<File: SharedFile>(_ id: String, in round: inout Round) throws(ControlError) -> File {
        let file: File = try find(id, in: round)
        let users = round.tables.services.values.filter { $0.spec.task.container.refers(to: file) }.map(\.spec.name).sorted()
        guard users.isEmpty else {
            let noun = users.count == 1 ? "service" : "services"
            throw ControlError(
                .invalid,
                "rpc error: code = InvalidArgument desc = \(File.kind) '\(file.spec.name)' is in use by the following \(noun): "
                    + users.joined(separator: ", "))
        }
        round.draft.delete(File.key(id))
        return file
    }

    private static func find<File: SharedFile>(_ id: String, in round: Round) throws(ControlError) -> File {
        guard let file = round.tables.byKind[File.self][id] else {
            throw ControlError(.notFound, "\(File.kind) \(id) not found")
        }
        return file
    }

    private static func check<File: SharedFile>(_ spec: SharedFileSpec, _ type: File.Type) throws(ControlError) {
        guard Bounds.isName(spec.name) else {
            throw ControlError(
                .invalid,
                "invalid name \"\(spec.name)\": 1 to 63 of the characters a-z, A-Z, 0-9, -, _ and ., the first a letter or digit")
        }
        guard Bounds.bytes(spec.labels) <= Bounds.specBytes else { throw .tooLarge(File.kind.name) }
        // Base 64 has four characters for three bytes.
        guard spec.data.exposed.utf8.count <= (File.maxBytes + 2) / 3 * 4 else {
            throw ControlError(
                .invalid,
                "rpc error: code = InvalidArgument desc = \(File.kind) data must be larger than 0 and less than \(File.maxBytes) bytes")
        }
    }
}

extension ContainerSpec {
    func refers(to file: some SharedFile) -> Bool {
        (file is StoredSecret ? secrets : configs).contains { $0.id == file.id }
    }
}

extension ControlError {
    static func tooLarge(_ what: String) -> ControlError {
        ControlError(.invalid, "the labels of this \(what) are too large: \(Bounds.specBytes) bytes at most")
    }
}
