package import WeftModel

/// What a node says of its keys for an epoch. Signed with the key of its certificate; whoever passes it on can change nothing of it.
package struct KeyStatement: Hashable, Sendable {
    package var cluster: ClusterID
    package var node: NodeID
    package var id: StatementID
    /// X25519 (RFC 7748): 32 bytes.
    package var publicKey: [UInt8]
    /// Where its ESP comes to: UDP port 4500, or its data path's where that is closed.
    package var port: UInt16
    /// Whether AES-256 is wanted; the stronger wish of two nodes counts.
    package var isLong: Bool

    /// Longest statement in bytes.
    package static let sizeMax = 512
    private static let context = Array("weft key statement v1\0".utf8)

    package init(cluster: ClusterID, node: NodeID, id: StatementID, publicKey: [UInt8], port: UInt16, isLong: Bool = false) {
        self.cluster = cluster
        self.node = node
        self.id = id
        self.publicKey = publicKey
        self.port = port
        self.isLong = isLong
    }

    /// What is signed, and goes into the derivation of keys: one statement, one text.
    package var signedBytes: [UInt8] {
        var bytes = Self.context
        for part in [Array(cluster.rawValue.utf8), Array(node.rawValue.utf8), publicKey] {
            bytes += Self.octets(UInt16(truncatingIfNeeded: part.count)) + part
        }
        return bytes + Self.octets(id.epoch) + Self.octets(id.incarnation) + Self.octets(port) + [isLong ? 1 : 0]
    }

    /// Nil if it is none, or has anything before, behind or in it that is not a statement's.
    package init?(signedBytes bytes: [UInt8]) {
        guard bytes.count <= Self.sizeMax, bytes.starts(with: Self.context) else { return nil }
        var rest = bytes.dropFirst(Self.context.count)
        func take(_ count: Int) -> [UInt8]? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        func number<Number: FixedWidthInteger>(_: Number.Type) -> Number? {
            take(Number.bitWidth / 8).map { $0.reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) } }
        }
        func text() -> String? {
            number(UInt16.self).flatMap { take(Int($0)) }.flatMap { String(validating: $0, as: UTF8.self) }
        }
        guard let cluster = text(), let node = text(), number(UInt16.self) == 32, let key = take(32), let epoch = number(UInt64.self),
            let incarnation = number(UInt128.self), let port = number(UInt16.self), port > 0, let flag = take(1)?.first, flag <= 1,
            rest.isEmpty, Bounds.isID(cluster), Bounds.isID(node)
        else { return nil }
        self.init(
            cluster: ClusterID(cluster), node: NodeID(node), id: StatementID(epoch: epoch, incarnation: incarnation), publicKey: key,
            port: port, isLong: flag == 1)
    }

    private static func octets<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
