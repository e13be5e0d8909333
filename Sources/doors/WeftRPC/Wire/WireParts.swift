internal import SwiftProtobuf
internal import WeftModel

/// Messages that would be too large travel in several, and are whole again before anybody sees them.
extension Weft_V1_ManagerMessage {
    static func parts(of message: ManagerMessage, limit: Int = Limits.partBytes) -> [Weft_V1_ManagerMessage] {
        guard case .assignments(let assignments) = message else { return [Weft_V1_ManagerMessage(message)] }
        let parts = assignments.parts(limit: limit)
        return parts.enumerated().map { index, part in
            var wire = Weft_V1_ManagerMessage(.assignments(part))
            wire.assignments.more = index < parts.count - 1
            return wire
        }
    }
}

extension Weft_V1_NodeMessage {
    static func parts(of message: NodeMessage, limit: Int = Limits.partBytes) -> [Weft_V1_NodeMessage] {
        switch message {
        case .hello(let description, let dataPathAddress, let applied, let endpoints):
            let chunks = endpoints.chunks(limit: limit, \.sizeBytes)
            let first = NodeMessage.hello(
                description, dataPathAddress: dataPathAddress, appliedRevision: applied, endpoints: chunks.first ?? [])
            var parts = [Weft_V1_NodeMessage(first)]
            for chunk in chunks.dropFirst() {
                parts[parts.count - 1].hello.more = true
                parts.append(.with { $0.hello.endpoints = chunk.map(Weft_V1_Endpoint.init) })
            }
            return parts
        case .endpointsChanged(let added, let removed):
            // Removals first: an address may go from one endpoint to the next.
            let parts =
                removed.chunks(limit: limit, \.sizeBytes).map { NodeMessage.endpointsChanged(added: [], removed: $0) }
                + added.chunks(limit: limit, \.sizeBytes).map { .endpointsChanged(added: $0, removed: []) }
            return parts.count <= 2 && fits(added, removed, limit) ? [Self(message)] : parts.map { Self($0) }
        case .tasksChanged(let reports):
            let chunks = reports.chunks(limit: limit) { $0.sizeBytes }
            return chunks.isEmpty ? [Self(message)] : chunks.map { Self(.tasksChanged($0)) }
        case .leasesReturned(let leases):
            return leases.chunks(limit: limit) { $0.utf8.count + 4 }.map { Self(.leasesReturned($0)) }
        default:
            return [Self(message)]
        }
    }

    private static func fits(_ added: [Endpoint], _ removed: [EndpointID], _ limit: Int) -> Bool {
        added.reduce(0) { $0 + $1.sizeBytes } + removed.reduce(0) { $0 + $1.sizeBytes } <= limit
    }
}

extension Array {
    /// Slices whose sizes come to at most `limit` each, or that hold one element.
    fileprivate func chunks(limit: Int, _ size: (Element) -> Int) -> [[Element]] {
        var chunks: [[Element]] = []
        var start = startIndex
        var sum = 0
        for index in indices {
            let size = size(self[index])
            if index > start, sum + size > limit {
                chunks.append(Array(self[start..<index]))
                start = index
                sum = 0
            }
            sum += size
        }
        if start < endIndex { chunks.append(Array(self[start...])) }
        return chunks
    }
}

extension TaskReport {
    fileprivate var sizeBytes: Int {
        let texts = [task.rawValue, status.message, status.problem ?? "", status.container ?? ""]
        return texts.reduce(256 + 128 * status.ports.count) { $0 + 6 * $1.utf8.count }
    }
}

extension Identifier {
    fileprivate var sizeBytes: Int { rawValue.utf8.count + 4 }
}

extension Assignments {
    /// A set and deltas on it that come to the same. Each part says the revision of the whole; the first begins where the
    /// whole does, the others there.
    func parts(limit: Int) -> [Assignments] {
        let first = Assignments(isFull: isFull, baseRevision: baseRevision, revision: revision)
        var splitter = Splitter(first: first, limit: limit)
        // What goes first, the last of the kinds before those it refers to; what comes the other way round.
        for delta in deltas.reversed() { splitter.addRemovals(delta) }
        for delta in deltas { splitter.addObjects(delta) }
        splitter.parts[splitter.parts.count - 1].wantsAcknowledgement = wantsAcknowledgement
        return splitter.parts
    }

    private struct Splitter {
        var parts: [Assignments]
        let limit: Int
        private var size = 0

        init(first: Assignments, limit: Int) {
            parts = [first]
            self.limit = limit
        }

        mutating func addRemovals<Delta: ErasedDelta>(_ delta: Delta) {
            add(delta.typed.removed, of: Delta.Value.self, \.removed) { $0.text.utf8.count + 4 }
        }

        mutating func addObjects<Delta: ErasedDelta>(_ delta: Delta) {
            if let form = Delta.Value.self as? any WireForm.Type { addObjects(form, delta) }
        }

        private mutating func addObjects<Value: WireForm>(_ form: Value.Type, _ delta: some ErasedDelta) {
            if let delta = delta as? Delta<Value> { add(delta.put, of: form, \.put, \.sizeBytes) }
        }

        private mutating func add<Value: AssignedValue, Element>(
            _ values: [Element], of kind: Value.Type, _ list: WritableKeyPath<Delta<Value>, [Element]>,
            _ sizeOf: (Element) -> Int
        ) {
            guard !values.isEmpty else { return }
            var start = values.startIndex
            for index in values.indices {
                let valueSize = sizeOf(values[index])
                if size > 0, size + valueSize > limit {
                    parts[parts.count - 1][kind][keyPath: list] = Array(values[start..<index])
                    let revision = parts[0].revision
                    parts.append(Assignments(isFull: false, baseRevision: revision, revision: revision))
                    start = index
                    size = 0
                }
                size += valueSize
            }
            parts[parts.count - 1][kind][keyPath: list] = Array(values[start...])
        }
    }
}

/// Puts a manager's messages together again.
struct ManagerMessageAssembler {
    private let kinds: Kinds
    private var begun: Assignments?

    init(kinds: Kinds = .all) { self.kinds = kinds }

    /// The message that is whole with this part; nil when more of it is to come, or nothing is left of it.
    mutating func take(_ wire: Weft_V1_ManagerMessage, skipped: inout [WireError]) throws(WireError) -> ManagerMessage? {
        guard wire.body != nil else {
            skipped.append(.unknownKind)
            return nil
        }
        let message = try ManagerMessage(wire: wire, kinds: kinds, skipped: &skipped)
        guard case .assignments(let part) = message else { return message }
        if begun == nil {
            begun = part
        } else {
            guard !part.isFull, begun?.revision == part.revision else {
                throw WireError(field: "assignments.revision", problem: "another set begins before the last one is whole")
            }
            begun?.append(part)
        }
        if wire.assignments.more { return nil }
        defer { begun = nil }
        return begun.map { .assignments($0) }
    }
}

/// Puts a node's messages together again.
struct NodeMessageAssembler {
    private var begun: Weft_V1_NodeMessage?
    private var size = 0

    mutating func take(_ wire: Weft_V1_NodeMessage, skipped: inout [WireError]) throws(WireError) -> NodeMessage? {
        guard wire.body != nil else {
            skipped.append(.unknownKind)
            return nil
        }
        guard case .hello(let hello)? = wire.body else {
            guard begun == nil else { throw WireError(field: "hello.more", problem: "something else came before the rest") }
            return try NodeMessage(wire: wire, skipped: &skipped)
        }
        size += hello.endpoints.reduce(0) { $0 + $1.sizeBytes }
        guard size <= Limits.helloBytes else {
            throw WireError(field: "hello.endpoints", problem: "more than \(Limits.helloBytes) bytes of them")
        }
        var whole = begun ?? wire
        if begun != nil { whole.hello.endpoints += hello.endpoints }
        begun = hello.more ? whole : nil
        guard !hello.more else { return nil }
        size = 0
        return try NodeMessage(wire: whole, skipped: &skipped)
    }
}

extension Weft_V1_Endpoint {
    fileprivate var sizeBytes: Int {
        id.utf8.count + sandbox.utf8.count + name.utf8.count + aliases.reduce(0) { $0 + $1.utf8.count + 3 } + 128
    }
}

extension WireError {
    static let unknownKind = WireError(field: "body", problem: "missing, or of a kind that this version does not know")
}
