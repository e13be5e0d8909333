internal import FoundationEssentials
internal import GRDB
internal import WeftModel
internal import WeftStore

/// Commits after a revision. The reader pulls: nothing is buffered for a slow one but a bounded batch.
struct SQLiteWatch: AsyncSequence, Sendable {
    typealias Element = StoreCommit
    typealias Failure = any Error

    let queue: DatabaseQueue
    let start: Version
    let coding: ObjectCoding

    func makeAsyncIterator() -> Iterator { Iterator(queue: queue, cursor: start, coding: coding) }

    struct Iterator: AsyncIteratorProtocol {
        /// Most changes read at a time; a commit is never split.
        private static let batch = 500

        private let queue: DatabaseQueue
        private let coding: ObjectCoding
        private var cursor: Version
        private var pending: [StoreCommit] = []
        /// Yields when there may be more to read.
        private var wakeUps: AsyncThrowingStream<Int64, any Error>.Iterator

        fileprivate init(queue: DatabaseQueue, cursor: Version, coding: ObjectCoding) {
            self.queue = queue
            self.coding = coding
            self.cursor = cursor
            let (stream, continuation) = AsyncThrowingStream.makeStream(
                of: Int64.self, bufferingPolicy: .bufferingNewest(1))
            let observation = ValueObservation.tracking { try Revisions.read($0).newest.index }.start(
                in: queue, scheduling: .task,
                onError: { continuation.finish(throwing: $0) }, onChange: { continuation.yield($0) })
            continuation.onTermination = { _ in observation.cancel() }
            wakeUps = stream.makeAsyncIterator()
        }

        mutating func next() async throws -> StoreCommit? {
            while pending.isEmpty {
                try Task.checkCancellation()
                pending = try await read(after: cursor).reversed()
                if pending.isEmpty, try await wakeUps.next(isolation: #isolation) == nil { return nil }
            }
            guard let commit = pending.popLast() else { return nil }
            cursor = commit.revision
            return commit
        }

        private func read(after cursor: Version) async throws -> [StoreCommit] {
            let coding = coding
            return try await queue.read { database in
                let revisions = try Revisions.read(database)
                guard cursor >= revisions.compacted else {
                    throw StoreError.compacted(requested: cursor, oldest: revisions.compacted)
                }
                guard cursor <= revisions.newest else {
                    throw StoreError.unknownRevision(requested: cursor, newest: revisions.newest)
                }
                let rows = try Row.fetchCursor(
                    database,
                    sql: "SELECT revision, kind, id, body FROM change WHERE revision > ? ORDER BY revision, position",
                    arguments: [cursor.index])
                var commits: [StoreCommit] = []
                var changes: [StoreChange] = []
                var current: Int64?
                var count = 0
                while let row = try rows.next() {
                    let revision: Int64 = row[0]
                    if let current, current != revision {
                        commits.append(StoreCommit(revision: Version(current), changes: changes))
                        changes = []
                        if count >= Self.batch { return commits }
                    }
                    current = revision
                    changes.append(try Self.change(row, revision: revision, coding))
                    count += 1
                }
                if let current { commits.append(StoreCommit(revision: Version(current), changes: changes)) }
                return commits
            }
        }

        private static func change(_ row: Row, revision: Int64, _ coding: ObjectCoding) throws -> StoreChange {
            let kind: String = row[1]
            let id: String = row[2]
            if let body: Data = row[3] {
                return .put(try coding.decode(kind: kind, id: id, version: revision, body: body))
            }
            return .delete(StoreKey(kind: try coding.kind(named: kind, id: id).kind, id: id))
        }
    }
}
