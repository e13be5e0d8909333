internal import FoundationEssentials
internal import WeftJSON
internal import WeftModel
internal import WeftStore

/// Objects as JSON, which stays legible to `sqlite3` and bears new optional members. Secrets are sealed, if at all.
struct ObjectCoding: Sendable {
    let seal: SecretSeal?

    func encode(_ object: StoredObject) throws -> Data {
        let encoder = JSONEncoder()
        encoder.userInfo[.secretSeal] = seal
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return switch object {
        case .cluster(let value): try encoder.encode(value)
        case .authority(let value): try encoder.encode(value)
        case .node(let value): try encoder.encode(value)
        case .network(let value): try encoder.encode(value)
        case .endpoint(let value): try encoder.encode(value)
        case .lease(let value): try encoder.encode(value)
        }
    }

    func decode(kind: String, id: String, version: Int64, body: Data) throws -> StoredObject {
        guard let kind = StoreKind(rawValue: kind) else {
            throw StoreError.corrupt(StoreKey(kind: .cluster, id: id), reason: "\(kind) is no kind of object")
        }
        let key = StoreKey(kind: kind, id: id)
        func read<Value: Decodable>(_ type: Value.Type) throws -> Value {
            try JSONText.decode(type, from: body, userInfo: [.secretSeal: seal])
        }
        var object: StoredObject
        do {
            object =
                switch kind {
                case .cluster: .cluster(try read(Cluster.self))
                case .authority: .authority(try read(AuthorityKey.self))
                case .node: .node(try read(Node.self))
                case .network: .network(try read(Network.self))
                case .endpoint: .endpoint(try read(Endpoint.self))
                case .lease: .lease(try read(AddressLease.self))
                }
        } catch {
            throw StoreError.corrupt(key, reason: "\(error)")
        }
        guard object.key == key else { throw StoreError.corrupt(key, reason: "it holds \(object.key)") }
        object.version = Version(version)
        return object
    }
}
