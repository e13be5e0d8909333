/// Everything one run measured, as it is stored.
struct Results: Codable, Sendable {
    var name: String
    /// `YYYY-MM-DD`.
    var date: String
    var kernel: String
    var processor: String
    var processors: Int
    /// Processes that wanted a CPU in the minute before the run; more than a few tenths spoil it.
    var loadBefore: Double
    var rounds: Int
    /// Seconds of each TCP stream; the other loads take half of it.
    var seconds: Int
    /// Values by profile, variant and metric, one for each round, in the rounds' order.
    var throughput: [String: [String: [String: [Double]]]] = [:]
    var latency: LatencySamples?
    /// Of weftd after the run, on the manager and on the worker.
    var residentBytes: [Int] = []

    mutating func add(_ values: [Metric: Double], _ profile: Profile, _ variant: Variant) {
        for (metric, value) in values {
            throughput[profile.rawValue, default: [:]][variant.rawValue, default: [:]][metric.rawValue, default: []]
                .append(value)
        }
    }

    func values(_ profile: Profile, _ variant: Variant, _ metric: Metric) -> [Double] {
        throughput[profile.rawValue]?[variant.rawValue]?[metric.rawValue] ?? []
    }

    /// The median of the ratios within each round: what disturbs a whole round disturbs both alike.
    func ratio(_ profile: Profile, _ variant: Variant, to other: Variant? = nil, _ metric: Metric) -> Double? {
        let other = values(profile, other ?? profile.reference, metric)
        return median(zip(values(profile, variant, metric), other).map { $0 / $1 })
    }
}

/// A requirement and what was measured of it.
struct Bar {
    let work: String
    let requirement: String
    /// Nil: not measured in this run.
    let measured: String?
    let isMet: Bool

    /// The bars of Weft's design, for this run: what the hosts' own path does, and on one host plain routing.
    static func all(_ results: Results) -> [Bar] {
        var bars: [Bar] = []
        for profile in Profile.allCases {
            // What four streams and the CPUs come to is information.
            for metric in Metric.allCases where ![.four, .cpu].contains(metric) { bars.append(ratio(results, profile, metric)) }
        }
        bars += encrypted(results)
        bars.append(latency("attach until the first reply from another host, p99", results.latency?.attach, atMost: 20))
        bars.append(latency("the same, \(Latency.atOnce.count) at once, p99", results.latency?.attachAtOnce, atMost: 20))
        bars.append(latency("name resolvable on the other node, p99", results.latency?.name, atMost: 100))
        let memory = results.residentBytes.last.map { Double($0) / 1e6 }
        bars.append(
            Bar(
                work: "weftd resident memory, worker", requirement: "≤ 40 MB",
                measured: memory.map { "\(decimal($0, 1)) MB" }, isMet: memory.map { $0 <= 40 } ?? false))
        return bars
    }

    /// How an encrypted network must stand to WireGuard in user space.
    private static func encrypted(_ results: Results) -> [Bar] {
        [(Profile.gso, Metric.up, 8.0), (.wire, .up, 4), (.gso, .rtt50, 0.4), (.wire, .rtt50, 0.4)].map { profile, metric, limit in
            let value = results.ratio(profile, .encrypted, to: .wireguard, metric)
            return Bar(
                work: "\(profile.rawValue), encrypted: \(metric.title)",
                requirement: "\(metric.isBetterBelow ? "≤" : "≥") \(decimal(limit, 1)) × G", measured: value.map { "\(decimal($0, 2)) ×" },
                isMet: value.map { metric.isBetterBelow ? $0 <= limit : $0 >= limit } ?? false)
        }
    }

    /// How Weft's value must stand to the reference's.
    private static func ratio(_ results: Results, _ profile: Profile, _ metric: Metric) -> Bar {
        let limit = metric == .connections && profile != .local ? 1.2 : [.up, .down].contains(metric) ? 0.97 : 1
        let value = results.ratio(profile, .weft, metric)
        let isMet = value.map { metric.isBetterBelow ? $0 <= limit : $0 >= limit } ?? false
        return Bar(
            work: "\(profile.rawValue): \(metric.title)",
            requirement: "\(metric.isBetterBelow ? "≤" : "≥") \(decimal(limit, 2)) × \(profile.reference.rawValue)",
            measured: value.map { "\(decimal($0, 2)) ×" }, isMet: isMet)
    }

    private static func latency(_ work: String, _ samples: [Double]?, atMost: Double) -> Bar {
        let value = samples.flatMap { percentile($0, 99) }
        return Bar(
            work: work, requirement: "≤ \(decimal(atMost, 0)) ms", measured: value.map { "\(decimal($0, 1)) ms" },
            isMet: value.map { $0 <= atMost } ?? false)
    }
}
