import WeftModel

/// Which nodes are told a secret or a config: those with a task that refers to it and has not ended.
enum FileNeeds {
    /// Looks at what tasks refer to that changed since there were so many changes; with `all`, at every file.
    static func settle(since mark: Int, all: Bool, in round: inout Round) {
        var ids: Set<String> = []
        for (key, before) in round.draft.changes(since: mark) {
            switch key.kind {
            case ServiceTask.kind:
                for task in [before?.as(ServiceTask.self), round.tables.tasks[TaskID(key.id)]] {
                    for file in task?.files ?? [] { ids.insert(file.id) }
                }
            case StoredSecret.kind, StoredConfig.kind: ids.insert(key.id)
            default: break
            }
        }
        if all { ids.formUnion(round.tables.byKind[StoredSecret.self].keys.map(\.self) + round.tables.byKind[StoredConfig.self].keys) }
        for id in ids.sorted() {
            settle(id, StoredSecret.self, in: &round)
            settle(id, StoredConfig.self, in: &round)
        }
    }

    private static func settle<File: SharedFile>(_ id: String, _ type: File.Type, in round: inout Round) {
        guard var file = round.tables.byKind[type][id] else { return }
        let users = Set((round.tables.found.fileUsers[id] ?? [:]).keys)
        guard users != file.neededBy else { return }
        file.neededBy = users
        round.draft.put(file)
    }
}

extension ServiceTask {
    /// Secrets and configs that it refers to.
    var files: [ContainerSpec.FileReference] { spec.container.secrets + spec.container.configs }
}
