internal import FoundationEssentials
internal import WeftJSON
internal import WeftModel
internal import WeftStore

/// Objects as JSON, which stays legible to `sqlite3` and bears new optional members. Secrets are sealed, if at all.
struct ObjectCoding: Sendable {
    let seal: SecretSeal?
    var kinds = Kinds.all

    func encode(_ object: StoredObject) throws -> Data {
        let encoder = JSONEncoder()
        encoder.userInfo[.secretSeal] = seal
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(object.value)
    }

    /// Throws for kinds that this version does not know.
    func kind(named name: String, id: String) throws -> any StoredValue.Type {
        guard let type = kinds.type(named: name) else {
            throw StoreError.unknownKind(StoreKey(kind: StoreKind(unknown: name), id: id))
        }
        return type
    }

    func decode(kind: String, id: String, version: Int64, body: Data) throws -> StoredObject {
        try decode(try self.kind(named: kind, id: id), id: id, version: version, body: body)
    }

    private func decode<Value: StoredValue>(_ type: Value.Type, id: String, version: Int64, body: Data) throws -> StoredObject {
        let key = StoreKey(kind: Value.kind, id: id)
        var value: Value
        do { value = try JSONText.decode(type, from: body, userInfo: [.secretSeal: seal]) } catch {
            throw StoreError.corrupt(key, reason: "\(error)")
        }
        guard value.key == key else { throw StoreError.corrupt(key, reason: "it holds \(value.key)") }
        value.version = Version(version)
        return StoredObject(value)
    }
}
