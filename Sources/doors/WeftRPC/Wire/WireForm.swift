internal import FoundationEssentials
internal import SwiftProtobuf
internal import WeftModel

/// How a kind that nodes are told of travels: its objects as messages, in an entry of `Assignments.kinds`.
///
/// Kinds from before there was that field have fields of their own, which nodes of former versions read.
protocol WireForm: AssignedValue {
    associatedtype Message: SwiftProtobuf.Message
    var message: Message { get }
    /// What of it makes no sense is left out and noted in `skipped`; thrown is what leaves nothing of the object.
    init(message: Message, _ field: String, _ skipped: inout [WireError]) throws(WireError)
    /// Roughly what it takes to send it.
    var sizeBytes: Int { get }

    /// Whether it has fields of its own, which the two functions then write and read.
    static var hasFields: Bool { get }
    static func write(_ delta: Delta<Self>, to wire: inout Weft_V1_Assignments)
    static func read(
        _ wire: Weft_V1_Assignments, _ field: String, _ skipped: inout [WireError]
    ) throws(WireError) -> Delta<Self>
}

extension WireForm {
    static var hasFields: Bool { false }

    static func write(_ delta: Delta<Self>, to wire: inout Weft_V1_Assignments) {
        guard !delta.isEmpty else { return }
        var entry = Weft_V1_KindDelta()
        entry.kind = kind.name
        // A message without required fields always has a form in bytes.
        entry.put = delta.put.compactMap { try? $0.message.serializedBytes() as Data }
        entry.removed = delta.removed.map(\.text)
        wire.kinds.append(entry)
    }

    static func read(
        _ wire: Weft_V1_Assignments, _ field: String, _ skipped: inout [WireError]
    ) throws(WireError) -> Delta<Self> {
        var delta = Delta<Self>()
        for entry in wire.kinds where entry.kind == kind.name {
            var parts: [WireError] = []
            delta.put += Wire.list(entry.put, "\(field).\(kind).put", &skipped) { bytes, field throws(WireError) in
                try Self(message: message(bytes, field), field, &parts)
            }
            for part in parts { Wire.note(part, in: &skipped) }
            delta.removed += Wire.ids(entry.removed, "\(field).\(kind).removed", &skipped)
        }
        return delta
    }

    private static func message(_ bytes: Data, _ field: String) throws(WireError) -> Message {
        do { return try Message(serializedBytes: bytes) } catch {
            throw WireError(field: field, problem: "these bytes are no object of the kind \(kind)")
        }
    }
}

extension Kinds {
    /// Those of them that travel.
    var forms: [any WireForm.Type] { assigned.compactMap { $0 as? any WireForm.Type } }
}

extension Weft_V1_Assignments {
    init(_ value: Assignments) {
        self.init()
        full = value.isFull
        baseRevision = value.baseRevision.index
        revision = value.revision.index
        wantsAcknowledgement = value.wantsAcknowledgement
        for delta in value.deltas { write(delta) }
    }

    private mutating func write<Delta: ErasedDelta>(_ delta: Delta) {
        // The one look at the type; what follows knows it.
        if let form = Delta.Value.self as? any WireForm.Type { write(form, delta) }
    }

    private mutating func write<Value: WireForm>(_ form: Value.Type, _ delta: some ErasedDelta) {
        if let delta = delta as? Delta<Value> { Value.write(delta, to: &self) }
    }
}

extension Assignments {
    init(
        wire: Weft_V1_Assignments, _ field: String, kinds: Kinds = .all, _ skipped: inout [WireError]
    ) throws(WireError) {
        self.init(
            isFull: wire.full, baseRevision: try Wire.version(wire.baseRevision, "\(field).base_revision"),
            revision: try Wire.version(wire.revision, "\(field).revision"))
        wantsAcknowledgement = wire.wantsAcknowledgement
        let forms = kinds.forms
        for form in forms { try read(form, wire, field, &skipped) }
        guard !wire.kinds.isEmpty else { return }
        let names = Set(forms.filter { !$0.hasFields }.map { $0.kind.name })
        for (index, entry) in wire.kinds.enumerated() where !names.contains(entry.kind) {
            let problem = "objects of the kind \(Wire.shown(entry.kind)), which this version does not know"
            Wire.note(WireError(field: "\(field).kinds[\(index)]", problem: problem), in: &skipped)
        }
    }

    private mutating func read<Value: WireForm>(
        _ form: Value.Type, _ wire: Weft_V1_Assignments, _ field: String, _ skipped: inout [WireError]
    ) throws(WireError) {
        self[Value.self] = try Value.read(wire, field, &skipped)
    }
}
