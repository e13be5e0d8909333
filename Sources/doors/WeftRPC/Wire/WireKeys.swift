internal import FoundationEssentials
internal import WeftModel

/// What nodes say of the data path's keys.

extension SignedStatement: WireForm {
    var message: Weft_V1_SignedStatement { Weft_V1_SignedStatement(self) }
    var sizeBytes: Int { signedBytes.count + signature.count + certificatesPEM.utf8.count + 128 }

    init(message: Weft_V1_SignedStatement, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        try self.init(wire: message, field)
    }
}

extension KeyReadiness: WireForm {
    var message: Weft_V1_KeyReadiness {
        var message = Weft_V1_KeyReadiness()
        message.node = id.rawValue
        message.version = version.index
        message.readiness = Weft_V1_Readiness(readiness)
        return message
    }
    var sizeBytes: Int { 128 }

    init(message: Weft_V1_KeyReadiness, _ field: String, _ skipped: inout [WireError]) throws(WireError) {
        self.init(
            id: try Wire.identifier(message.node, "\(field).node"), version: try Wire.version(message.version, "\(field).version"),
            readiness: try Readiness(
                wire: Wire.require(message.hasReadiness, message.readiness, "\(field).readiness"), "\(field).readiness"))
    }
}

extension Weft_V1_SignedStatement {
    init(_ value: SignedStatement) {
        self.init()
        node = value.node.rawValue
        version = value.version.index
        statement = Weft_V1_StatementID(value.statement)
        signedBytes = Data(value.signedBytes)
        signature = Data(value.signature)
        certificatesPem = value.certificatesPEM
    }
}

extension SignedStatement {
    init(wire: Weft_V1_SignedStatement, _ field: String) throws(WireError) {
        try Wire.check(wire.signedBytes.count, max: Self.signedBytesMax, "\(field).signed_bytes")
        try Wire.check(wire.signature.count, max: Self.signatureBytesMax, "\(field).signature")
        try Wire.check(wire.certificatesPem.utf8.count, max: Self.certificateBytesMax, "\(field).certificates_pem")
        self.init(
            version: try Wire.version(wire.version, "\(field).version"), node: try Wire.identifier(wire.node, "\(field).node"),
            statement: try StatementID(wire: Wire.require(wire.hasStatement, wire.statement, "\(field).statement"), "\(field).statement"),
            signedBytes: Array(wire.signedBytes), signature: Array(wire.signature), certificatesPEM: wire.certificatesPem)
    }
}

extension Weft_V1_StatementID {
    init(_ value: StatementID) {
        self.init()
        epoch = value.epoch
        incarnation = withUnsafeBytes(of: value.incarnation.bigEndian) { Data($0) }
    }
}

extension StatementID {
    init(wire: Weft_V1_StatementID, _ field: String) throws(WireError) {
        guard wire.incarnation.count == 16 else {
            throw WireError(field: "\(field).incarnation", problem: "\(wire.incarnation.count) bytes, which are to be 16")
        }
        self.init(epoch: wire.epoch, incarnation: wire.incarnation.reduce(0) { $0 << 8 | UInt128($1) })
    }
}

extension Weft_V1_Readiness {
    init(_ value: Readiness) {
        self.init()
        statement = Weft_V1_StatementID(value.statement)
        through = value.through.index
    }
}

extension Readiness {
    init(wire: Weft_V1_Readiness, _ field: String) throws(WireError) {
        self.init(
            statement: try StatementID(wire: Wire.require(wire.hasStatement, wire.statement, "\(field).statement"), "\(field).statement"),
            through: try Wire.version(wire.through, "\(field).through"))
    }
}

extension Wire {
    fileprivate static func check(_ count: Int, max: Int, _ field: String) throws(WireError) {
        guard count <= max else { throw WireError(field: field, problem: "\(count) bytes, more than the \(max) that there may be") }
    }
}
