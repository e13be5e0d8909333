internal import FoundationEssentials
internal import WeftJSON
internal import WeftModel

/// A kind that travels as the JSON that the store has of it: the specs of services and tasks are a person's and an engine's words, of
/// which nothing on the way reads anything.
protocol DocumentForm: WireForm where Message == Weft_V1_Document {}

extension DocumentForm {
    var message: Weft_V1_Document { Weft_V1_Document(self) }
    var sizeBytes: Int { message.json.count }

    init(message: Weft_V1_Document, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        self = try message.read(field)
        guard ID.isValid(id.text) else {
            throw WireError(field: "\(field).id", problem: "\(Wire.shown(id.text)) can be no object's id")
        }
    }
}

extension Weft_V1_Document {
    init(_ value: some Encodable) {
        self.init()
        let encoder = JSONEncoder()
        // So that what is the same has the same bytes.
        encoder.outputFormatting = [.sortedKeys]
        // What the store takes has a form in JSON: it was written with it.
        json = (try? encoder.encode(value)) ?? Data()
    }

    func read<Value: Decodable>(_ field: String) throws(WireError) -> Value {
        do { return try JSONText.decode(from: json) } catch {
            throw WireError(field: field, problem: "these bytes are no \(Value.self)")
        }
    }
}

extension ServiceView: DocumentForm {}
extension ServiceTask: DocumentForm {}
extension StoredSecret: DocumentForm {}
extension StoredConfig: DocumentForm {}
