import WeftModel
import WeftNet
import WeftText

/// A service's `Spec`, as Docker prints it: what was sent, with what it stands for where nothing was said of runtime and isolation.
///
/// - Parameter insertDefaults: with what counts where the operator said nothing.
func serviceSpecJSON(_ spec: ServiceSpec, insertDefaults: Bool = false) -> JSON {
    let spec = insertDefaults ? spec.withDefaults : spec
    var members = Members()
    members.add("Name", .string(spec.name))
    members.add("Labels", .map(spec.labels))
    members.add("TaskTemplate", taskSpecJSON(spec.task))
    members.add("Mode", modeJSON(spec.mode))
    members.add("UpdateConfig", ifThere: spec.update.map(updateConfigJSON))
    members.add("RollbackConfig", ifThere: spec.rollback.map(updateConfigJSON))
    members.add("EndpointSpec", ifThere: spec.endpoint.map(endpointSpecJSON))
    return members.json
}

extension ServiceSpec {
    /// A job has nothing that is replaced, and does not begin again once it is done.
    fileprivate var withDefaults: ServiceSpec {
        var spec = self
        spec.task.container.stopGracePeriod = task.container.stopGracePeriod ?? ContainerSpec.defaultStopGracePeriod
        var restart = RestartPolicy()
        if mode.isJob { restart.condition = .onFailure }
        spec.task.restart = task.restart ?? restart
        if !mode.isJob {
            spec.update = update ?? UpdateConfig()
            spec.rollback = rollback ?? UpdateConfig()
        }
        spec.endpoint = endpoint ?? ServiceEndpointSpec()
        return spec
    }
}

/// `TaskTemplate`, and the `Spec` of a task.
func taskSpecJSON(_ task: TaskSpec) -> JSON {
    var members = Members()
    members.add("ContainerSpec", containerJSON(task.container, of: task.runtime))
    members.add("Resources", ["Limits": amountsJSON(task.limits), "Reservations": amountsJSON(task.reservations)])
    members.add("RestartPolicy", ifThere: task.restart.map(restartJSON))
    members.add("Placement", placementJSON(task.placement))
    members.add("Networks", ifSaid: task.networks.map(taskNetworkJSON))
    members.add("LogDriver", ifThere: task.logDriver.map(driverJSON))
    members.add("ForceUpdate", .counter(task.forceUpdate))
    members.add("Runtime", .string(task.runtime.rawValue))
    return members.json
}

private func modeJSON(_ mode: ServiceMode) -> JSON {
    switch mode {
    case .replicated(let replicas): ["Replicated": ["Replicas": .counter(replicas)]]
    case .global: ["Global": [:]]
    case .replicatedJob(let concurrent, let total):
        ["ReplicatedJob": ["MaxConcurrent": .counter(concurrent), "TotalCompletions": .counter(total)]]
    case .globalJob: ["GlobalJob": [:]]
    }
}

private func updateConfigJSON(_ config: UpdateConfig) -> JSON {
    var members = Members()
    members.add("Parallelism", .counter(config.parallelism))
    members.add("Delay", ifSaid: config.delay)
    members.add("FailureAction", .string(config.failureAction.rawValue))
    members.add("Monitor", ifSaid: config.monitor)
    // Go writes a whole number without a fraction.
    let ratio = Int64(exactly: config.maxFailureRatio).map(JSON.integer) ?? .number(config.maxFailureRatio)
    members.add("MaxFailureRatio", ratio)
    members.add("Order", .string(config.order.rawValue))
    return members.json
}

func endpointSpecJSON(_ endpoint: ServiceEndpointSpec) -> JSON {
    var members = Members()
    members.add("Mode", .string(endpoint.mode.rawValue))
    members.add("Ports", ifSaid: endpoint.ports.map(portJSON))
    return members.json
}

func portJSON(_ port: PortConfig) -> JSON { portJSON(port, at: nil) }

/// - Parameter said: where it is published, in a member that Docker has not.
func portJSON(_ port: PortConfig, at said: IngressLabels?) -> JSON {
    var members = Members()
    members.add("Name", ifSaid: port.name)
    members.add("Protocol", .string(port.transport.rawValue))
    members.add("TargetPort", .integer(Int64(port.target)))
    members.add("PublishedPort", ifSaid: Int64(port.published))
    members.add("PublishMode", .string(port.mode.rawValue))
    if port.mode == .ingress, let addresses = said?.addresses(of: port.published, port.transport) {
        members.add("PublishedAddresses", ifSaid: addresses.sorted().map { JSON.string($0.description) })
    }
    return members.json
}

private func amountsJSON(_ amounts: ResourceAmounts) -> JSON {
    var members = Members()
    members.add("NanoCPUs", ifSaid: amounts.nanoCPUs)
    members.add("MemoryBytes", ifSaid: amounts.memoryBytes)
    members.add("Pids", ifSaid: amounts.pids)
    members.add("GenericResources", ifSaid: (amounts.generic ?? []).map(genericJSON))
    return members.json
}

private func genericJSON(_ resource: GenericResource) -> JSON {
    switch resource.amount {
    case .count(let count): ["DiscreteResourceSpec": ["Kind": .string(resource.kind), "Value": .integer(count)]]
    case .named(let name): ["NamedResourceSpec": ["Kind": .string(resource.kind), "Value": .string(name)]]
    }
}

private func restartJSON(_ policy: RestartPolicy) -> JSON {
    [
        "Condition": .string(policy.condition.rawValue), "Delay": .integer(policy.delay), "MaxAttempts": .counter(policy.maxAttempts),
        "Window": .integer(policy.window),
    ]
}

private func placementJSON(_ placement: Placement) -> JSON {
    var members = Members()
    members.add("Constraints", ifSaid: placement.constraints)
    members.add("Preferences", ifSaid: placement.spreads.map { ["Spread": ["SpreadDescriptor": .string($0)]] })
    members.add("MaxReplicas", ifSaid: Int64(clamping: placement.maxReplicasPerNode))
    members.add(
        "Platforms",
        ifSaid: placement.platforms.map { platform in
            var members = Members()
            members.add("Architecture", ifSaid: platform.architecture)
            members.add("OS", ifSaid: platform.os)
            return members.json
        })
    return members.json
}

private func taskNetworkJSON(_ network: TaskNetwork) -> JSON {
    var members = Members()
    members.add("Target", .string(network.target))
    members.add("Aliases", ifSaid: network.aliases)
    members.add("DriverOpts", ifSaid: network.driverOptions)
    return members.json
}
