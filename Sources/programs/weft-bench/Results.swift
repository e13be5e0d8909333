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
    func ratio(_ profile: Profile, _ variant: Variant, to other: Variant, _ metric: Metric) -> Double? {
        median(zip(values(profile, variant, metric), values(profile, other, metric)).map { $0 / $1 })
    }
}

/// A requirement and what was measured of it.
struct Bar {
    let work: String
    let requirement: String
    /// Nil: not measured in this run.
    let measured: String?
    let isMet: Bool

    /// The bars of Weft's design, for this run.
    static func all(_ results: Results) -> [Bar] {
        var bars: [Bar] = []
        for profile in Profile.allCases {
            let isWhole = profile == .gso
            for metric in [Metric.up, .down] {
                bars.append(ratio(results, profile, metric, .docker, atLeast: isWhole ? 1.2 : 1.1))
                if isWhole { bars.append(ratio(results, profile, metric, .hosts, atLeast: 0.95)) }
            }
            for metric in [Metric.rtt50, .rtt99] {
                bars.append(ratio(results, profile, metric, .docker, atMost: 0.8))
                bars.append(ratio(results, profile, metric, .hosts, atMost: 1.1))
            }
            bars.append(ratio(results, profile, .packets, .docker, atLeast: 1.8))
            bars.append(ratio(results, profile, .packets, .hosts, atLeast: 0.8))
            bars.append(ratio(results, profile, .connections, .docker, atLeast: 1.4))
        }
        bars.append(latency("attach until the first reply from another host, p99", results.latency?.attach, atMost: 50))
        bars.append(latency("name resolvable on the other node, p99", results.latency?.name, atMost: 100))
        let memory = results.residentBytes.last.map { Double($0) / 1e6 }
        bars.append(
            Bar(
                work: "weftd resident memory, worker", requirement: "≤ 50 MB",
                measured: memory.map { "\(decimal($0, 1)) MB" }, isMet: memory.map { $0 <= 50 } ?? false))
        return bars
    }

    private static func ratio(
        _ results: Results, _ profile: Profile, _ metric: Metric, _ other: Variant, atLeast: Double? = nil,
        atMost: Double? = nil
    ) -> Bar {
        let value = results.ratio(profile, .weft, to: other, metric)
        let isMet = value.map { $0 >= atLeast ?? -.infinity && $0 <= atMost ?? .infinity } ?? false
        return Bar(
            work: "\(profile.rawValue): \(metric.title)",
            requirement: "\(atLeast == nil ? "≤" : "≥") \(decimal(atLeast ?? atMost ?? 0, 2)) × \(other.rawValue)",
            measured: value.map { "\(decimal($0, 2)) ×" }, isMet: isMet)
    }

    private static func latency(_ work: String, _ samples: [Double]?, atMost: Double) -> Bar {
        let value = samples.flatMap { percentile($0, 99) }
        return Bar(
            work: work, requirement: "≤ \(decimal(atMost, 0)) ms", measured: value.map { "\(decimal($0, 1)) ms" },
            isMet: value.map { $0 <= atMost } ?? false)
    }
}
