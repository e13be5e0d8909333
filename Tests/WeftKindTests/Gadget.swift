import SwiftProtobuf
import WeftModel

@testable import WeftRPC

enum GadgetTag: Identified {}

/// A kind that only tests know, made of what every kind is made of: the struct, its wire form, and the line in the list.
struct Gadget: StoredValue, AssignedValue {
    static let kind = StoreKind("gadget", rank: 1000)
    static let hasSecrets = true

    let id: Identifier<GadgetTag>
    var version = Version.none
    var name: String
    var secret: Secret
    var nodes: Set<NodeID>

    var audience: Audience { .nodes(nodes) }
}

extension Gadget: WireForm {
    // A message that has what it takes.
    var message: Weft_V1_Endpoint {
        var message = Weft_V1_Endpoint()
        message.id = id.rawValue
        message.version = version.index
        message.name = name
        message.sandbox = secret.exposed
        message.aliases = nodes.map(\.rawValue).sorted()
        return message
    }

    init(message: Weft_V1_Endpoint, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        self.init(
            id: try Wire.identifier(message.id, "\(field).id"),
            version: try Wire.version(message.version, "\(field).version"),
            name: try Wire.name(message.name, "\(field).name"), secret: Secret(message.sandbox),
            nodes: Set(Wire.identifiers(message.aliases, "\(field).nodes", &skipped)))
    }

    var sizeBytes: Int { name.utf8.count + 256 }
}

extension Kinds {
    static let withGadgets = Kinds(Kinds.all.stored + [Gadget.self])
}
