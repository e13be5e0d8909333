import Foundation
import TestSupport
import Testing
import WeftModel
import WeftText

@testable import WeftAPI

/// A frame of a log as clients get it.
private func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
    let length = UInt32(text.utf8.count)
    return [stream, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + Array(text.utf8)
}

private func line(_ text: String, at seconds: Int64 = 0, isError: Bool = false, details: String = "") -> LogLine {
    LogLine(
        time: MemoryBackend.epoch + .seconds(seconds), isError: isError, bytes: Array((text + "\n").utf8), details: details)
}

@Suite(.timeLimit(.minutes(2))) struct TaskLogTests {
    private static let time = "2026-11-21T09:47:23.122615443Z"

    /// A service `web` with a task that runs.
    private static func withTask(
        _ spec: String = #"{"Runtime":"sandbox","ContainerSpec":{"Command":["./server"]}}"#,
        _ body: @escaping @Sendable (RawClient, MemoryBackend, TaskID) async throws -> Void
    ) async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("weft-log-\(UUID().uuidString.prefix(8))").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let backend = MemoryBackend()
        try await serve(backend, path) {
            let client = RawClient(path: path)
            _ = try await client.send("POST", "/swarm/init", "{}")
            let made = try await client.send("POST", "/services/create", #"{"Name":"web","TaskTemplate":\#(spec)}"#)
            #expect(made.status == 201, "\(made.text)")
            try await body(client, backend, backend.addTask(of: "web", slot: 1, state: .running))
        }
    }

    @Test func `lines say whose they are`() async throws {
        try await Self.withTask { client, backend, task async throws in
            backend.read { $0.log = [line("out"), line("err", isError: true, details: "env=test")] }
            let (node, service) = backend.read { ($0.swarm.nodeID?.rawValue ?? "", $0.services[0].id) }
            let details = "com.docker.swarm.node.id=\(node),com.docker.swarm.service.id=\(service),com.docker.swarm.task.id=\(task)"
            let answer = try await client.send("GET", "/services/web/logs?details=1&stdout=1&stderr=1&tail=5&since=17.5")
            #expect(answer.status == 200 && answer.body == frame(1, "\(details) out\n") + frame(2, "\(details),env=test err\n"))
            let options = try #require(backend.read { $0.lastLog })
            #expect(options.tail == 5 && options.since == Instant(nanoseconds: 17_500_000_000) && options.hasDetails && !options.follows)
            let timed = try await client.send("GET", "/tasks/\(task)/logs?timestamps=true&stdout=True&stderr=False")
            #expect(timed.body == frame(1, "\(Self.time) out\n"))
            #expect(backend.read { $0.lastLog?.tail == nil && $0.lastLog?.hasErrorOutput == false })
        }
    }

    @Test func `a terminal's output has no frames`() async throws {
        try await Self.withTask(#"{"ContainerSpec":{"Image":"bb","TTY":true}}"#) { client, backend, _ async throws in
            backend.read { $0.log = [line("on screen\r")] }
            #expect(try await client.send("GET", "/services/web/logs?stdout=1").text == "on screen\r\n")
        }
    }

    @Test func `what is not to be had is said on the stream for errors, and the rest goes on`() async throws {
        try await Self.withTask { client, backend, task async throws in
            let second = backend.addTask(of: "web", slot: 2, state: .running)
            backend.read {
                $0.log = [line("a")]
                $0.losses = [LogUnavailable("its node host2 is down")]
            }
            let answer = try await client.send("GET", "/services/web/logs?stdout=1&stderr=1")
            let said = [task, second].map { "weft: the output of task \($0) is not to be had: its node host2 is down\n" }
            #expect([said[0], said[1]].contains { answer.body == frame(1, "a\n") + frame(2, $0) + frame(1, "a\n") })
            backend.read { $0.losses = [LogUnavailable("its node host2 is down")] }
            #expect(try await client.send("GET", "/tasks/\(task)/logs?stdout=1").body == frame(1, "a\n") + frame(1, said[0]))
        }
    }

    @Test func `one stream at least must be chosen`() async throws {
        try await Self.withTask { client, _, _ async throws in
            let answer = try await client.send("GET", "/services/web/logs?follow=1")
            #expect(answer.status == 400 && answer.message == "Bad parameters: you must choose at least one stream")
            #expect(try await client.send("GET", "/services/web/logs?stdout=1&until=5").status == 400)
            #expect(try await client.send("GET", "/services/nosuch/logs?stdout=1").message == "service nosuch not found")
            #expect(try await client.send("GET", "/tasks/nosuch/logs?stdout=1").status == 404)
        }
    }

    /// Follows, and does something when a text has come; returns all that came up to another text, or to the end.
    private static func following(
        _ path: String, _ client: RawClient, at mark: String, _ change: @escaping @Sendable () -> Void, until end: String? = nil
    ) async throws -> String {
        let isChanged = Noted(false)
        let request = "GET \(path) HTTP/1.1\r\nHost: docker\r\n\r\n"
        let bytes = try await client.raw([request]) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            if text.contains(mark), !isChanged.value {
                isChanged.change { $0 = true }
                change()
            }
            return text.contains(end ?? "\r\n0\r\n\r\n")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `who follows a service sees tasks that come later, whole`() async throws {
        try await Self.withTask { client, backend, _ async throws in
            backend.read { $0.log = [line("line")] }
            let text = try await Self.following(
                "/services/web/logs?stdout=1&follow=1&details=1&tail=0", client, at: "task.id=task1",
                { backend.addTask(of: "web", slot: 2, state: .running) }, until: "task.id=task2running")
            #expect(text.contains("task.id=task2running") && backend.read { $0.lastLog?.tail == nil })
        }
    }

    @Test func `following ends with the task`() async throws {
        try await Self.withTask { client, backend, task async throws in
            backend.read { $0.log = [line("last words")] }
            let text = try await Self.following(
                "/tasks/\(task)/logs?stdout=1&follow=1", client, at: "last words", { backend.read { $0.tasks[0].status.state = .complete } }
            )
            #expect(text.contains("last words") && text.hasSuffix("0\r\n\r\n"))
        }
    }

    @Test func `following ends with the service`() async throws {
        try await Self.withTask { client, backend, _ async throws in
            backend.read { $0.log = [line("last words")] }
            let text = try await Self.following(
                "/services/web/logs?stdout=1&follow=1", client, at: "last words",
                {
                    backend.read { state in
                        state.services = []
                        state.tasks = []
                    }
                })
            #expect(text.hasSuffix("0\r\n\r\n"))
        }
    }

    @Test func `a task that has no container yet is read once it has one`() async throws {
        try await Self.withTask { client, backend, task async throws in
            backend.read { state in
                state.log = [line("at last")]
                state.tasks[0].status.container = nil
                state.tasks[0].status.state = .preparing
            }
            let text = try await Self.following(
                "/tasks/\(task)/logs?stdout=1&follow=1", client, at: "HTTP/1.1 200",
                { backend.read { $0.tasks[0].status.container = "c1" } },
                until: "at last")
            #expect(text.contains("at last"))
        }
    }

    @Test func `what breaks off is said once, and goes on where it broke off`() async throws {
        try await Self.withTask { client, backend, task async throws in
            backend.read {
                $0.log = [line("first")]
                $0.losses = [LogUnavailable("gone"), LogUnavailable("gone"), LogUnavailable("away")]
            }
            let text = try await Self.following(
                "/services/web/logs?stdout=1&stderr=1&follow=1", client, at: "gone", { backend.read { $0.log += [line("second", at: 1)] } },
                until: "away")
            #expect(text.matches(of: /first/).count == 1 && text.matches(of: /second/).count == 1, "\(text)")
            #expect(text.matches(of: /to be had: gone/).count == 2, "before and behind the line that came in between")
        }
    }
}

@Suite struct FollowedTasksTests {
    private static func task(_ id: String, _ container: String?, state: TaskState = .running) -> ServiceTask {
        let start = Instant(nanoseconds: 0)
        let service = Service(
            id: ServiceID("s"), createdAt: start, spec: ServiceSpec(name: "web", task: TaskSpec(container: ContainerSpec(image: "web"))))
        var status = TaskStatus(state: state, at: start, message: "")
        status.container = container
        return ServiceTask(
            id: TaskID(id), createdAt: start, of: service, slot: 1, node: NodeID("n"), desiredState: .running, status: status)
    }

    @Test func `what is gone is forgotten, and what runs again is read again`() {
        var options = LogOptions()
        (options.follows, options.tail) = (true, 3)
        var followed = FollowedTasks(options)
        #expect(followed.look(at: [Self.task("t1", nil)]).isEmpty && followed.isIdle)
        var begun = followed.look(at: [Self.task("t1", "c1"), Self.task("t2", "d1")])
        #expect(begun.map(\.0.id.rawValue) == ["t1", "t2"] && begun.allSatisfy { $0.1.options.tail == nil } && !followed.isIdle)
        #expect(followed.look(at: [Self.task("t1", "c1"), Self.task("t2", "d1")]).isEmpty)
        followed.ended(Self.task("t1", "c1"))
        #expect(followed.look(at: [Self.task("t1", "c1"), Self.task("t2", "d1")]).isEmpty, "it has been read")
        begun = followed.look(at: [Self.task("t1", "c2"), Self.task("t2", "d1")])
        #expect(begun.map(\.0.status.container) == ["c2"])
        for number in 3..<1000 {
            let container = "c\(number)"
            followed.ended(Self.task("t1", "c\(number - 1)"))
            #expect(followed.look(at: [Self.task("t1", container)]).count == 1)
        }
        #expect(followed.count == 2, "one under way, and one that is still read though its task is gone")
        followed.ended(Self.task("t2", "d1"))
        followed.ended(Self.task("t1", "c999"))
        _ = followed.look(at: [])
        #expect(followed.count == 0 && followed.isIdle)
    }

    @Test func `of the first tasks so many lines are asked for as were wanted`() {
        var options = LogOptions()
        options.tail = 3
        var followed = FollowedTasks(options)
        #expect(followed.look(at: [Self.task("t1", "c1")]).first?.1.options.tail == 3)
    }

    @Test func `what broke off of a task that has ended is not tried again`() {
        var followed = FollowedTasks(LogOptions())
        let loss = LogUnavailable("down")
        for (task, position) in followed.look(at: [Self.task("t1", "c1")]) {
            #expect(followed.lost(task, position, loss) && !followed.lost(task, position, loss))
            let isNews = followed.lost(task, position, LogUnavailable("gone"))
            #expect(isNews)
        }
        #expect(followed.look(at: [Self.task("t1", "c1", state: .orphaned)]).isEmpty && followed.isIdle)
    }
}
