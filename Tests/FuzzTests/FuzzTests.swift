import Foundation
import FuzzTargets
import TestSupport
import Testing

/// What hostile bytes do to all that reads them: nothing. The same inputs in every run; scripts/fuzz looks for others.
@Suite("Readers of foreign bytes")
struct FuzzTests {
    /// In a debug build a few seconds in all.
    private static let rounds = 10_000

    /// Inputs that once broke something, a file each.
    private func corpus(_ target: FuzzTarget) throws -> [[UInt8]] {
        let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fuzz/Corpus/\(target.name)")
        guard FileManager.default.fileExists(atPath: directory.path) else { return [] }
        return try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
            .sorted { $0.path < $1.path }.map { Array(try Data(contentsOf: $0)) }
    }

    @Test("keep what they promise on samples, on what broke them once, and on both damaged", arguments: FuzzTarget.all.map(\.name))
    func damaged(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let inputs = target.samples + (try corpus(target))
        #expect(!inputs.isEmpty)
        var generator = SplitMix(state: 1)
        for input in inputs { try check(target, input) }
        for _ in 0..<Self.rounds { try check(target, generator.damaged(inputs)) }
    }

    private func check(_ target: FuzzTarget, _ input: [UInt8]) throws {
        do { try target.run(input) } catch {
            Issue.record("\(target.name): \(error); input in base64: \(Data(input).base64EncodedString())")
            throw error
        }
    }
}
