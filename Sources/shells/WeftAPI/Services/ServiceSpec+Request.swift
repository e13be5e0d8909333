import WeftModel

// Bodies of `POST /services/create` and `/services/{id}/update`. Each member that Docker has is taken over, or refused by its name;
// members that nobody knows are left out of account, as Docker does. What contradicts itself is refused here in the words of
// Docker's manager; whether names, networks, ports and nodes are to be had is the manager's to judge.

extension ServiceSpec {
    init(_ fields: Fields) throws(APIError) {
        guard let name = try fields.text("Name") else { throw .invalidArgument("meta: name must be provided") }
        self.init(name: name, task: try TaskSpec(fields.object("TaskTemplate")))
        labels = try fields.map("Labels")
        // Where networks stood before version 1.25.
        if task.networks.isEmpty { task.networks = try fields.objects("Networks").map(TaskNetwork.init) }
        mode = try ServiceMode(fields.object("Mode"))
        update = try fields.fields("UpdateConfig").map(UpdateConfig.init)
        rollback = try fields.fields("RollbackConfig").map(UpdateConfig.init)
        endpoint = try fields.fields("EndpointSpec").map(ServiceEndpointSpec.init)
        if mode.isJob { try checkJob() }
    }

    /// A job is done once: there is nothing of it to replace by and by, and nothing to find it by.
    private func checkJob() throws(APIError) {
        guard update == nil else { throw .invalidArgument("update config is not supported for job-mode services") }
        guard rollback == nil else { throw .invalidArgument("rollback config is not supported for job-mode services") }
        if let restart = task.restart, restart.condition == .any {
            throw .invalidArgument("restart-condition must be either \"none\" or \"on-failure\" for job-mode services")
        }
    }
}

extension ServiceMode {
    fileprivate init(_ fields: Fields) throws(APIError) {
        let known = ["Replicated", "Global", "ReplicatedJob", "GlobalJob"].filter(fields.has)
        guard known.count < 2 else { throw .badRequest("must specify only one service mode") }
        switch known.first {
        case "Global"?: self = .global
        case "GlobalJob"?: self = .globalJob
        case "ReplicatedJob"?:
            let job = try fields.object("ReplicatedJob")
            let concurrent = try job.count("MaxConcurrent") ?? 1
            self = .replicatedJob(concurrent: concurrent, total: try job.count("TotalCompletions") ?? concurrent)
        default: self = .replicated(try fields.object("Replicated").count("Replicas") ?? 1)
        }
    }
}

extension UpdateConfig {
    fileprivate init(_ fields: Fields) throws(APIError) {
        self.init()
        parallelism = try fields.count("Parallelism") ?? 0
        delay = try fields.span("Delay", negative: "TaskSpec: update-delay cannot be negative") ?? 0
        let watched = try fields.span("Monitor", negative: "TaskSpec: update-monitor cannot be negative") ?? 0
        if watched > 0 { monitor = watched }
        let ratio = try fields.number("MaxFailureRatio") ?? 0
        guard (0...1).contains(ratio) else {
            throw .invalidArgument("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
        }
        maxFailureRatio = ratio
        if let text = try fields.text("FailureAction") {
            guard let action = FailureAction(rawValue: text) else { throw .badRequest("unrecognized update failure action \(text)") }
            failureAction = action
        }
        if let text = try fields.text("Order") {
            guard let order = Order(rawValue: text) else { throw .badRequest("unrecognized update order \(text)") }
            self.order = order
        }
    }
}

extension ServiceEndpointSpec {
    fileprivate init(_ fields: Fields) throws(APIError) {
        self.init()
        if let text = try fields.text("Mode") {
            guard let mode = Mode(rawValue: text.lowercased()) else { throw .badRequest("invalid EndpointSpec: \"\(text)\"") }
            self.mode = mode
        }
        ports = try fields.objects("Ports").map(PortConfig.init)
        if mode == .dnsrr, ports.contains(where: { $0.mode == .ingress }) {
            throw .invalidArgument("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        }
        var held: Set<PortConfig> = []
        for port in ports where port.published != 0 {
            // The same number twice: by whichever name, to whichever target, in whichever mode.
            var place = PortConfig(target: 1)
            (place.published, place.transport) = (port.published, port.transport)
            guard held.insert(place).inserted else { throw .invalidArgument("EndpointSpec: duplicate published ports provided") }
        }
    }
}

extension PortConfig {
    fileprivate init(_ fields: Fields) throws(APIError) {
        let target = try Self.port(fields, "TargetPort")
        guard target > 0 else { throw .badRequest("\(fields.name("TargetPort")) is missing; give a port from 1 to 65535") }
        self.init(target: target)
        published = try Self.port(fields, "PublishedPort")
        name = try fields.string("Name") ?? ""
        if let text = try fields.text("Protocol") {
            guard let transport = Transport(rawValue: text.lowercased()) else {
                throw .badRequest("\(fields.name("Protocol")) is \"\(text)\"; there are tcp, udp and sctp")
            }
            self.transport = transport
        }
        if let text = try fields.text("PublishMode") {
            guard let mode = Mode(rawValue: text.lowercased()) else {
                throw .badRequest("\(fields.name("PublishMode")) is \"\(text)\"; there are ingress and host")
            }
            self.mode = mode
        }
    }

    private static func port(_ fields: Fields, _ key: String) throws(APIError) -> UInt16 {
        let number = try fields.integer(key) ?? 0
        guard let port = UInt16(exactly: number) else { throw .badRequest("\(fields.name(key)) is \(number), which is no port") }
        return port
    }
}
