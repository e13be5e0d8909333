import Foundation
import Testing
import WeftModel
import WeftSim

@Suite("A swarm in one process")
struct SimulationTests {
    /// WEFT_SIM_SEEDS: a number of seeds, or `first-last`.
    private static var seeds: ClosedRange<UInt64> {
        let text = ProcessInfo.processInfo.environment["WEFT_SIM_SEEDS"] ?? "200"
        let ends = text.split(separator: "-").compactMap { UInt64($0) }
        if ends.count == 2, ends[0] <= ends[1] { return ends[0]...ends[1] }
        return 1...max(1, ends.first ?? 200)
    }

    @Test("It keeps its rules and settles, whatever breaks")
    func holdsUnderFaults() throws {
        var failures = 0
        var total = SimReport()
        for seed in Self.seeds {
            do {
                var options = SimOptions()
                options.nodes = 2 + Int(seed % 4)
                // Most runs are short; every tenth sees addresses used again after their rest.
                options.duration = seed % 10 == 0 ? .seconds(300) : .seconds(30)
                options.operationsPerSecond = seed % 3 == 0 ? 12 : 4
                let report = try Simulation.run(seed: seed, options: options)
                total.attached += report.attached
                total.detached += report.detached
                total.brokenSessions += report.brokenSessions
                total.agentCrashes += report.agentCrashes
                total.managerCrashes += report.managerCrashes
                total.failedCommits += report.failedCommits
                total.networksRemoved += report.networksRemoved
                total.nodesLeft += report.nodesLeft
            } catch {
                failures += 1
                Issue.record("\(error)")
                if failures == 3 { break }
            }
        }
        // A run in which nothing happens would keep all rules.
        #expect(total.attached > 0 && total.detached > 0 && total.brokenSessions > 0 && total.agentCrashes > 0)
        if Self.seeds.count >= 100 {
            #expect(total.managerCrashes > 0 && total.failedCommits > 0 && total.networksRemoved > 0 && total.nodesLeft > 0)
        }
    }

    @Test("The same seed gives the same run")
    func isReplayable() throws {
        for seed: UInt64 in [3, 8] {
            #expect(try Simulation.run(seed: seed) == Simulation.run(seed: seed))
        }
    }
}
