import Foundation
import Glibc
import Logging
import NIOPosix
import Synchronization
import TestSupport
import Testing
import WeftAgent
import WeftModel
import WeftNode
import WeftSandbox

/// Sandboxes as weftd has them: keeper, machine and driver, with real supervisors.
@Suite("Sandboxes of a node", .timeLimit(.minutes(5)))
struct DriverTests {
    private final class Records: WorkloadStore {
        let all = Mutex<[WorkloadID: Workload]>([:])
        func load() -> [Workload] { all.withLock { Array($0.values) } }
        func save(_ workload: Workload) { all.withLock { $0[workload.id] = workload } }
        func remove(_ workload: Workload) { all.withLock { $0[workload.id] = nil } }
    }

    /// One weftd's part of it; `end` leaves the sandboxes to the next.
    private struct Daemon {
        let driver: SandboxDriver
        let workloads: WorkloadKeeper
        let sandboxes: SandboxKeeper
        let threads = NIOThreadPool(numberOfThreads: 2)

        init(_ fixture: Fixture, _ records: Records) async throws {
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            threads.start()
            driver = try SandboxDriver(
                runDirectory: fixture.runDirectory, shimExecutable: Fixture.shim, threads: threads,
                publisher: PortPublisher(ports: NoPorts(), logger: logger), logger: logger)
            workloads = WorkloadKeeper(
                drivers: [.sandbox: driver], store: records,
                now: { Instant(nanoseconds: Int64(ProcessInfo.processInfo.systemUptime * 1e9)) },
                logger: logger)
            sandboxes = SandboxKeeper(driver: driver, workloads: workloads)
            await workloads.start()
        }

        func end() async throws {
            await workloads.shutDown()
            await driver.stop()
            try await threads.shutdownGracefully()
        }
    }

    private func with(_ body: (Fixture, Records, Daemon) async throws -> Void) async throws {
        let (fixture, records) = (try Fixture(), Records())
        let daemon = try await Daemon(fixture, records)
        do { try await body(fixture, records, daemon) } catch {
            try await daemon.end()
            throw error
        }
        try await daemon.end()
    }

    @Test("A sandbox is made, started, stopped and removed, on record all the while")
    func life() async throws {
        try await with { fixture, records, daemon in
            let spec = fixture.spec(["/bin/sleep", "1000"])
            let made = try await daemon.sandboxes.create(spec, endpoints: [])
            #expect(made.state?.status == .created && records.all.withLock { $0.count } == 1)
            await #expect(throws: SandboxError.nameTaken(spec.name.uppercased())) {
                var other = fixture.spec(["/bin/true"])
                other.name = spec.name.uppercased()
                _ = try await daemon.sandboxes.create(other, endpoints: [])
            }
            try await daemon.sandboxes.startProcess(spec.id)
            try await daemon.sandboxes.startProcess(spec.id)
            await #expect(throws: SandboxError.stillRunning(spec.name)) {
                try await daemon.sandboxes.remove(spec.id, force: false)
            }
            // A first process ignores what it does not handle.
            try await daemon.sandboxes.stopProcess(spec.id, timeout: .milliseconds(50))
            #expect(try await daemon.sandboxes.find(spec.name).state?.exitCode == 137)
            await #expect(throws: SandboxError.notRunning(spec.name)) {
                try await daemon.sandboxes.startProcess(spec.id)
            }
            try await daemon.sandboxes.remove(spec.id, force: false)
            await #expect(throws: SandboxError.notFound(spec.id)) {
                try await daemon.sandboxes.remove(spec.id, force: true)
            }
            #expect(fixture.store.list().isEmpty && records.all.withLock { $0.isEmpty })
        }
    }

    @Test("A short-lived one that removes itself was started all the same")
    func short() async throws {
        try await with { fixture, records, daemon in
            for _ in 0..<5 {
                let spec = fixture.spec(["/bin/true"]) { $0.autoRemove = true }
                _ = try await daemon.sandboxes.create(spec, endpoints: [])
                try await daemon.sandboxes.startProcess(spec.id)
            }
            try await eventually("they go") {
                fixture.store.list().isEmpty && records.all.withLock { $0.isEmpty }
            }
        }
    }

    @Test("Nothing is left of one that cannot be made, and its name is free; one that cannot run says why")
    func failures() async throws {
        try await with { fixture, records, daemon in
            var spec = fixture.spec(["/bin/true"]) { $0.rootfs = "/nonexistent" }
            await #expect(throws: (any Error).self) {
                _ = try await daemon.sandboxes.create(spec, endpoints: [])
                try await daemon.sandboxes.startProcess(spec.id)
            }
            try? await daemon.sandboxes.remove(spec.id, force: true)
            spec.rootfs = nil
            spec.command = ["/no/such/command"]
            _ = try await daemon.sandboxes.create(spec, endpoints: [])
            let error = await #expect(throws: SandboxError.self) {
                try await daemon.sandboxes.startProcess(spec.id)
            }
            guard case .refused(code: 127, _)? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            await #expect(throws: NotInSwarm()) {
                _ = try await daemon.sandboxes.create(
                    fixture.spec(["/bin/true"]), endpoints: [EndpointSpec(network: NetworkID("n"))])
            }
            try await daemon.sandboxes.remove(spec.id, force: true)
            #expect(fixture.store.list().isEmpty && records.all.withLock { $0.isEmpty })
        }
    }

    @Test("A supervisor that is stopped holds up nobody else, and is ended by force")
    func stoppedSupervisor() async throws {
        try await with { fixture, _, daemon in
            let (sick, well) = (fixture.spec(["/bin/sleep", "1000"]), fixture.spec(["/bin/sleep", "1000"]))
            let made = try await daemon.sandboxes.create(sick, endpoints: [])
            try await daemon.sandboxes.startProcess(sick.id)
            let supervisor = try #require(made.state?.shimPID)
            Glibc.kill(supervisor, SIGSTOP)
            let stopping = Task { try await daemon.sandboxes.stopProcess(sick.id, timeout: .seconds(600)) }
            _ = try await daemon.sandboxes.create(well, endpoints: [])
            try await daemon.sandboxes.startProcess(well.id)
            #expect(await daemon.sandboxes.list().count == 2)
            try await daemon.sandboxes.remove(well.id, force: true)
            try await daemon.sandboxes.remove(sick.id, force: true)
            _ = try? await stopping.value
            #expect(fixture.store.list().isEmpty)
        }
    }

    @Test("The next weftd finds what runs, what has ended, and what is on no record")
    func restart() async throws {
        let (fixture, records) = (try Fixture(), Records())
        let (runs, ended, gone) = (
            fixture.spec(["/bin/sleep", "1000"]), fixture.spec(["/bin/true"]),
            fixture.spec(["/bin/sleep", "1000"]) { $0.autoRemove = true }
        )
        let first = try await Daemon(fixture, records)
        for spec in [runs, ended, gone] {
            _ = try await first.sandboxes.create(spec, endpoints: [])
            try await first.sandboxes.startProcess(spec.id)
        }
        try await eventually("one ends") {
            try await first.sandboxes.find(ended.name).state?.status == .exited
        }
        try await first.end()
        try SandboxControl.kill(fixture.store.directory(gone.id))
        _ = try SandboxControl.waitForExit(fixture.store.directory(gone.id))
        // A former version kept no records.
        records.all.withLock { $0[WorkloadID(runs.id)] = nil }
        let second = try await Daemon(fixture, records)
        // Its directory goes first, then its record.
        try await eventually("what removes itself is gone, and only that") {
            fixture.store.list().count == 2
                && Set(records.all.withLock { $0.keys.map(\.rawValue) }) == [runs.id, ended.id]
        }
        #expect(try await second.workloads.read { $0.namespaces.count } == 1)
        try await second.sandboxes.remove(runs.id, force: true)
        try await second.sandboxes.remove(ended.id, force: false)
        #expect(fixture.store.list().isEmpty && records.all.withLock { $0.isEmpty })
        try await second.end()
    }
}
