import WeftAPI
import WeftModel
import WeftNet

extension MemoryBackend {
    func objects<Value: StoredValue>(_ type: Value.Type) throws -> [Value] {
        read { state in
            let all: [any StoredValue] =
                switch type.kind {
                case Service.kind: state.services
                case ServiceTask.kind: state.tasks
                case StoredSecret.kind: state.secrets
                case StoredConfig.kind: state.configs
                default: []
                }
            return all.compactMap { $0 as? Value }.sorted { $0.id.text < $1.id.text }
        }
    }

    func serviceCreate(_ spec: ServiceSpec) throws -> Service {
        read { state in
            state.serial += 1
            state.revision += 1
            let version = Version(state.revision)
            let id = ServiceID("svc\(state.serial)kfub9vg5essidu6xfwa6")
            var service = Service(id: id, version: version, createdAt: Self.epoch, spec: spec)
            if spec.mode.isJob { service.jobStartedAt = Self.epoch }
            state.services.append(service)
            return service
        }
    }

    func serviceUpdate(_ id: ServiceID, version: Version, spec: ServiceSpec?) throws {
        let isDone = read { state in
            guard let index = state.services.firstIndex(where: { $0.id == id && $0.version == version }) else { return false }
            state.revision += 1
            var service = state.services[index]
            let former = service.spec
            service.spec = spec ?? service.previousSpec ?? former
            service.previousSpec = spec == nil ? nil : former
            service.version = Version(state.revision)
            state.services[index] = service
            return true
        }
        if !isDone { throw APIError.outOfSequence }
    }

    func serviceRemove(_ id: ServiceID) throws { read { $0.services.removeAll { $0.id == id } } }

    func create<File: SharedFile>(_ type: File.Type, _ spec: SharedFileSpec) throws -> File {
        guard try objects(type).allSatisfy({ $0.spec.name != spec.name }) else {
            throw APIError(409, "rpc error: code = AlreadyExists desc = \(File.kind) \(spec.name) already exists")
        }
        let (serial, revision) = read { state in
            state.serial += 1
            state.revision += 1
            return (state.serial, state.revision)
        }
        var file = File(id: "\(File.kind.name)\(serial)b9vg5essidu6xf", createdAt: Self.epoch, spec: spec)
        file.version = Version(revision)
        put(file)
        return file
    }

    func update<File: SharedFile>(_ type: File.Type, _ id: String, version: Version, _ spec: SharedFileSpec) throws {
        guard var file = try objects(type).first(where: { $0.id == id && $0.version == version }) else { throw APIError.outOfSequence }
        file.spec.labels = spec.labels
        try remove(type, id)
        put(file)
    }

    func remove<File: SharedFile>(_ type: File.Type, _ id: String) throws {
        read { state in
            state.secrets.removeAll { $0.id == id }
            state.configs.removeAll { $0.id == id }
        }
    }

    private func put(_ file: some SharedFile) {
        read { state in
            if let secret = file as? StoredSecret { state.secrets.append(secret) }
            if let config = file as? StoredConfig { state.configs.append(config) }
        }
    }

    func readLog(of task: ServiceTask, _ options: LogOptions, _ take: ([LogLine]) async throws -> Void) async throws {
        let (lines, loss) = read { state in
            state.lastLog = options
            let since = options.since ?? Instant(nanoseconds: .min)
            return (state.log.filter { $0.time >= since }, state.losses.isEmpty ? nil : state.losses.removeFirst())
        }
        if !lines.isEmpty { try await take(lines) }
        if let loss { throw loss }
    }

    /// A task of a service as it may be while it runs on this node, with an endpoint on the service's networks.
    @discardableResult
    func addTask(of name: String, slot: UInt64, state taskState: TaskState, desired: TaskState = .running) -> TaskID {
        read { state in
            let id = TaskID("task\(slot)\(taskState.name)fuzmwrxx")
            guard let service = state.services.first(where: { $0.spec.name == name }) else { return id }
            var status = TaskStatus(state: taskState, at: Self.epoch, message: "started")
            status.container = "c0ffee"
            status.pid = 29506
            let task = ServiceTask(
                id: id, createdAt: Self.epoch, of: service, slot: slot, node: state.swarm.nodeID, desiredState: desired, status: status)
            state.tasks.append(task)
            for network in state.snapshot.networks where service.spec.task.networks.contains(where: { $0.target == network.id.rawValue }) {
                let address = IPv4Address(rawValue: network.subnet.network.rawValue + 8 + UInt32(slot))
                state.snapshot.endpoints.append(
                    Endpoint(
                        id: EndpointID("ep-\(id)"), network: network.id, node: state.swarm.nodeID ?? NodeID(""),
                        sandbox: SandboxID("c0ffee"), ipv4: address, mac: MACAddress(forIPv4: address), name: task.name,
                        task: ServingTask(service: service.id, task: id, slot: slot, rotation: .serving)))
            }
            return id
        }
    }
}
