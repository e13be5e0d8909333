/// A table, for the terminal and for Markdown.
struct Table {
    let header: [String]
    var rows: [[String]] = []

    /// Aligned columns; the first to the left, the others to the right.
    var plain: String {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            row.indices.map { $0 == 0 ? left(row[$0], widths[$0]) : right(row[$0], widths[$0]) }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    var markdown: String {
        let lines = [header, header.indices.map { $0 == 0 ? "---" : "---:" }] + rows
        return lines.map { "| \($0.joined(separator: " | ")) |" }.joined(separator: "\n")
    }
}

/// What a run has to say.
struct Report {
    let results: Results

    private func throughput(_ profile: Profile) -> Table {
        let titles = [
            Variant.hosts: "U hosts", .routed: "R routed veth", .docker: "A Docker's layout", .weft: "W Weft",
            .encrypted: "E Weft, encrypted", .wireguard: "G wireguard-go", .nebula: "N nebula",
        ]
        var table = Table(header: [profile.rawValue] + Metric.allCases.map(\.title))
        for variant in Variant.allCases where !results.values(profile, variant, .up).isEmpty {
            table.rows.append(
                [titles[variant] ?? ""]
                    + Metric.allCases.map { metric in
                        guard let value = median(results.values(profile, variant, metric)),
                            let ratio = results.ratio(profile, variant, metric)
                        else { return "–" }
                        return "\(decimal(value / metric.unit, 1)) (\(decimal(ratio, 2)))"
                    })
        }
        return table
    }

    /// What Weft has over Docker's layout. No bar: it is the hosts' own path that there is to reach.
    private var besideDocker: Table {
        var table = Table(header: ["W to A"] + Metric.allCases.map(\.title))
        let compared = Profile.allCases.filter { results.ratio($0, .weft, to: .docker, .up) != nil }
        for profile in compared {
            let cells = Metric.allCases.map { metric in
                results.ratio(profile, .weft, to: .docker, metric).map { "\(decimal($0, 2)) ×" } ?? "–"
            }
            table.rows.append([profile.rawValue] + cells)
        }
        return table
    }

    private var bars: Table {
        var table = Table(header: ["work", "bar", "measured", ""])
        for bar in Bar.all(results) where bar.measured != nil {
            table.rows.append([bar.work, bar.requirement, bar.measured ?? "", bar.isMet ? "met" : "missed"])
        }
        return table
    }

    private var latencies: Table? {
        guard let latency = results.latency else { return nil }
        var table = Table(header: ["ms", "n", "p50", "p99", "max"])
        for (title, values) in [
            ("attach until the first reply from another host", latency.attach),
            ("the same, \(Latency.atOnce.count) at once", latency.attachAtOnce ?? []),
            ("name resolvable on the other node", latency.name),
        ] {
            let cells = [50.0, 99, 100].map { percent in percentile(values, percent).map { decimal($0, 1) } ?? "–" }
            table.rows.append([title, "\(values.count)"] + cells)
        }
        return table
    }

    private var tables: [Table] {
        (Profile.allCases.map(throughput) + [latencies, bars, besideDocker].compactMap { $0 }).filter { !$0.rows.isEmpty }
    }

    private var setting: String {
        "Kernel \(results.kernel), \(results.processors) CPUs (\(results.processor)), \(results.rounds) rounds in shuffled order, "
            + "TCP streams of \(results.seconds) s. Load of the machine before the run: \(decimal(results.loadBefore, 1))."
    }

    private static let legend = [
        "Cells: median (median of the ratios to U of the same round; local: to R).",
        "gso: the underlay carries 64 KB packets whole. wire: segmentation and tunnel offload off, GRO on, frames of the MTU.",
        "local: both containers are on one host; R routes between their veths and does nothing else.",
        "Two hosts are network namespaces on one machine; the client runs on CPU 0, the server on CPU 1. No real card is involved.",
    ]

    var plain: String {
        ([setting] + tables.map(\.plain) + [Self.legend[0]]).joined(separator: "\n\n")
    }

    var markdown: String {
        "# Benchmarks\n\nMade by `weft-bench`, \(results.date). \(setting)\n\n\(Self.legend.joined(separator: "\n"))\n\n"
            + tables.map(\.markdown).joined(separator: "\n\n")
            + "\n\nAll values of all rounds: `\(results.name).json`.\n"
    }
}
