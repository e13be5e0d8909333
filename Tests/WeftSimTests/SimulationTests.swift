import Foundation
import Testing
import WeftModel
import WeftSim

@Suite("A swarm in one process")
struct SimulationTests {
    /// WEFT_SIM_SEEDS: a number of seeds, or `first-last`.
    private static let seeds: ClosedRange<UInt64> = {
        let text = ProcessInfo.processInfo.environment["WEFT_SIM_SEEDS"] ?? "100"
        let ends = text.split(separator: "-").compactMap { UInt64($0) }
        if ends.count == 2, ends[0] <= ends[1] { return ends[0]...ends[1] }
        return 1...max(1, ends.first ?? 100)
    }()

    @Test("It keeps its rules and settles, whatever breaks", arguments: [UInt64(0), 1, 2, 3])
    func holdsUnderFaults(quarter: UInt64) async throws {
        var failures = 0
        var total = SimReport()
        let seeds = Self.seeds.filter { $0 % 4 == quarter }
        for seed in seeds {
            // Other tests wait for a thread.
            await Task.yield()
            do {
                var options = SimOptions()
                options.nodes = 2 + Int(seed / 4 % 4)
                // Most runs are short; some see addresses used again after their rest.
                options.duration = seed % 25 == 0 ? .seconds(200) : .seconds(15)
                options.operationsPerSecond = seed % 3 == 0 ? 12 : 5
                options.fillsNetworks = seed % 5 < 2
                options.secondManager = seed % 7 > 1
                let report = try Simulation.run(seed: seed, options: options)
                total.attached += report.attached
                total.addressesReturned += report.addressesReturned
                total.filled += report.filled
                total.detached += report.detached
                total.withIPv6 += report.withIPv6
                total.brokenSessions += report.brokenSessions
                total.agentCrashes += report.agentCrashes
                total.managerCrashes += report.managerCrashes
                total.failedCommits += report.failedCommits
                total.slowCommits += report.slowCommits
                total.conflicts += report.conflicts
                total.otherChanges += report.otherChanges
                total.failedSaves += report.failedSaves
                total.takenBack += report.takenBack
                total.refusedRounds += report.refusedRounds
                total.comparisons += report.comparisons
                total.networksRemoved += report.networksRemoved
                total.servicesCreated += report.servicesCreated
                total.nodesLeft += report.nodesLeft
                total.finalEpoch = max(total.finalEpoch, report.finalEpoch)
            } catch {
                failures += 1
                Issue.record("\(error)")
                if failures == 3 { break }
            }
        }
        // A run in which nothing happens would keep all rules.
        guard seeds.count >= 20 else { return }
        #expect(total.withIPv6 > 0 && total.attached > 0 && total.detached > 0 && total.brokenSessions > 0 && total.agentCrashes > 0)
        #expect(total.addressesReturned > 0 && total.filled > 0)
        #expect(total.slowCommits > 0 && total.conflicts > 0 && total.otherChanges > 0)
        #expect(total.failedSaves > 0 && total.takenBack > 0 && total.refusedRounds > 0 && total.comparisons > 1000)
        #expect(total.managerCrashes > 0 && total.failedCommits > 0 && total.networksRemoved > 0 && total.nodesLeft > 0)
        #expect(total.servicesCreated > 0 && total.finalEpoch > 2)
    }

    @Test("The same seed gives the same run")
    func isReplayable() throws {
        var options = SimOptions()
        options.duration = .seconds(20)
        for seed: UInt64 in [3, 8] {
            #expect(try Simulation.run(seed: seed, options: options) == Simulation.run(seed: seed, options: options))
        }
    }
}
