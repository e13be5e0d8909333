import WeftModel
import WeftNet

@testable import WeftNode

/// What drivers, store and swarm do with a machine's steps, in memory. Steps wait until they are finished,
/// one by one.
struct WorkloadWorld {
    var machine = WorkloadMachine()
    var now = Instant(nanoseconds: 1_000_000_000)
    /// Under way.
    var steps: [(workload: WorkloadID, number: StepNumber, step: WorkloadStep)] = []
    var replies: [RequestID: Result<Endpoint?, WorkloadFailure>] = [:]
    var complaints: [WorkloadFailure] = []
    var kills: [WorkloadID] = []
    /// All that was begun, in order.
    var begun: [WorkloadStep] = []
    /// What is on disk.
    var records: [WorkloadID: Workload] = [:]
    /// What the swarm has.
    var endpoints: [EndpointID: Endpoint] = [:]
    var isMember = true
    /// What the drivers were told last.
    var told: [WorkloadID: [EndpointID]] = [:]
    /// What the drivers have: workloads with a namespace, and whether something runs there.
    var places: Set<WorkloadID> = []
    /// Broken rules.
    var wrongs: [String] = []
    private var lastRequest: UInt64 = 0
    private var lastEndpoint = 0

    mutating func newRequest() -> RequestID {
        lastRequest += 1
        return RequestID(lastRequest)
    }

    mutating func feed(_ input: WorkloadInput) {
        for action in machine.handle(input, now: now) {
            switch action {
            case .begin(let of, let number, let step):
                let workload = of.id
                if steps.contains(where: { $0.workload == workload }) {
                    wrongs.append("two steps at once for \(workload)")
                }
                if case .attach = step, records[workload] == nil {
                    wrongs.append("\(workload) is attached without a record")
                }
                if case .forget = step,
                    endpoints.values.contains(where: { $0.sandbox.rawValue == workload.rawValue })
                {
                    wrongs.append("the record of \(workload) goes before its endpoints")
                }
                steps.append((workload, number, step))
                begun.append(step)
            case .reply(let id, let result):
                if replies.updateValue(result, forKey: id) != nil {
                    wrongs.append("two replies to \(id.rawValue)")
                }
            case .complain(_, let failure): complaints.append(failure)
            case .kill(let workload): kills.append(workload.id)
            }
        }
    }

    /// Finishes one of the steps under way.
    mutating func finish(_ index: Int = 0, failing: Bool = false) {
        let (workload, number, step) = steps.remove(at: index)
        if failing {
            return feed(.done(workload, number, .failed(.step(StepFailure(number: number, Broken())))))
        }
        feed(.done(workload, number, perform(workload, step)))
    }

    private mutating func perform(_ id: WorkloadID, _ step: WorkloadStep) -> StepResult {
        switch step {
        case .save(let workload): records[id] = workload
        case .prepare:
            places.insert(id)
            return .prepared("/ns/\(id)")
        case .attach(let spec, let sandbox, _, _):
            guard isMember else { return .failed(.noSwarm) }
            lastEndpoint += 1
            let address = spec.ipv4 ?? IPv4Address(rawValue: 0x0a00_0000 + UInt32(lastEndpoint))
            let endpoint = Endpoint(
                id: EndpointID("e\(lastEndpoint)"), network: spec.network, node: NodeID("n"),
                sandbox: sandbox, ipv4: address,
                mac: spec.mac ?? MACAddress(forIPv4: address), name: spec.name, aliases: spec.aliases)
            endpoints[endpoint.id] = endpoint
            return .attached(endpoint)
        case .detach(let endpoint): endpoints[endpoint] = nil
        case .release(let sandbox): endpoints = endpoints.filter { $0.value.sandbox != sandbox }
        case .tell(let all):
            told[id] = all.map(\.id)
            return .told(nil)
        case .rename(let names, _):
            for (endpoint, spec) in names { endpoints[endpoint]?.name = spec.name }
        case .remove:
            places.remove(id)
            told[id] = nil
        case .forget: records[id] = nil
        case .start, .shutDown: break
        }
        return .done
    }

    /// Finishes all steps, those that come of others too.
    mutating func settle(failing: (WorkloadStep) -> Bool = { _ in false }) {
        var left = 10_000
        while let first = steps.first {
            finish(failing: failing(first.step))
            left -= 1
            if left == 0 { return wrongs.append("the steps do not end: \(begun.suffix(6))") }
        }
    }
}

struct Broken: Error {}

/// The same numbers for the same seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}

func spec(_ network: String, _ interface: String) -> InterfaceSpec {
    InterfaceSpec(EndpointSpec(network: NetworkID(network), name: "web"), interface: interface)
}

func sandbox(_ id: String, _ networks: String...) -> Workload {
    Workload(
        id: WorkloadID(id), kind: .sandbox, sandbox: SandboxID(id), name: id,
        interfaces: networks.enumerated().map { spec($1, "eth\($0)") })
}

func container(_ id: String, _ networks: String..., restarts: Bool = false) -> Workload {
    var container = PreparedContainer(
        token: id, name: id, attachments: networks.enumerated().map { spec($1, "eth\($0)") },
        restarts: restarts)
    container.container = SandboxID(id)
    return Workload(container)
}

func runtime(_ id: String, cookie: UInt64 = 1) -> Workload {
    Workload(SandboxID(id), in: .init(path: "/run/netns/\(id)", cookie: cookie), interfaces: [])
}
