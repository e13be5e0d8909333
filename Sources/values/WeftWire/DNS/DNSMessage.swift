// Bytes ↔ values of the protocols that Weft itself speaks: DNS here, netlink in the folder beside. Pure: sockets are the users'
// affair. All that is read is foreign, so every reader is bounded and none traps; FuzzTests damages samples of each.

/// A DNS message (RFC 1035, 4.1) with EDNS0 (RFC 6891).
package struct DNSMessage: Hashable, Sendable {
    package var header: DNSHeader
    package var questions: [DNSQuestion] = []
    package var answers: [DNSRecord] = []
    package var authorities: [DNSRecord] = []
    /// Without the OPT record, which is `edns`.
    package var additionals: [DNSRecord] = []
    package var edns: EDNS?

    /// The largest message TCP carries, in octets.
    package static let sizeMax = 65_535
    /// What every UDP receiver takes (RFC 1035, 2.3.4), in octets.
    package static let plainUDPSizeMax = 512

    package init(header: DNSHeader) { self.header = header }

    /// The response code's twelve bits; the high eight are in `edns`.
    package var responseCode: DNSResponseCode {
        DNSResponseCode(rawValue: UInt16(edns?.extendedResponseCode ?? 0) << 4 | header.responseCode.rawValue)
    }
}

extension DNSMessage {
    package init(decoding bytes: [UInt8]) throws(DNSDecodingError) {
        var reader = DNSReader(bytes)
        header = DNSHeader(id: try reader.word(), flags: try reader.word())
        let questionCount = try reader.word()
        let answerCount = try reader.word()
        let authorityCount = try reader.word()
        let additionalCount = try reader.word()
        for _ in 0..<questionCount { questions.append(try DNSQuestion(reader: &reader)) }
        for _ in 0..<answerCount { try readRecord(&reader, into: \.answers) }
        for _ in 0..<authorityCount { try readRecord(&reader, into: \.authorities) }
        for _ in 0..<additionalCount { try readRecord(&reader, into: \.additionals) }
        guard reader.position == bytes.count else { throw .trailingOctets(offset: reader.position) }
    }

    private mutating func readRecord(
        _ reader: inout DNSReader, into section: WritableKeyPath<DNSMessage, [DNSRecord]>
    ) throws(DNSDecodingError) {
        let start = reader.position
        let name = try reader.name()
        let type = DNSRecordType(rawValue: try reader.word())
        guard type == .opt else {
            self[keyPath: section].append(try DNSRecord(name: name, type: type, reader: &reader))
            return
        }
        guard section == \.additionals, edns == nil, name.isRoot else { throw .options(offset: start) }
        edns = try EDNS(reader: &reader)
    }

    /// Writes the message in at most `limit` octets. What does not fit is left out from the end on, `edns` excepted;
    /// the message says that it is truncated when a question, an answer or an authority is missing.
    package func encoded(limit: Int = sizeMax) -> [UInt8] {
        let available = min(max(limit, 0), Self.sizeMax) - (edns?.size ?? 0)
        var writer = DNSWriter()
        writer.write(word: header.id)
        for _ in 0..<5 { writer.write(word: 0) }
        let questionCount = writer.writeFitting(questions, available) { $0.write(to: &$1) }
        var isComplete = questionCount == questions.count
        let answerCount = isComplete ? writer.writeFitting(answers, available) { $0.write(to: &$1) } : 0
        isComplete = isComplete && answerCount == answers.count
        let authorityCount = isComplete ? writer.writeFitting(authorities, available) { $0.write(to: &$1) } : 0
        isComplete = isComplete && authorityCount == authorities.count
        // RFC 2181, 9: additional records that are left out do not make a message truncated.
        let additionalCount = isComplete ? writer.writeFitting(additionals, available) { $0.write(to: &$1) } : 0
        edns?.write(to: &writer)
        var header = header
        header.isTruncated = header.isTruncated || !isComplete
        writer.replaceWord(at: 2, with: header.flags)
        let counts = [questionCount, answerCount, authorityCount, additionalCount + (edns == nil ? 0 : 1)]
        for (index, count) in counts.enumerated() {
            // No count passes 65,535: a question has 5 octets at least, a record 11.
            writer.replaceWord(at: 4 + 2 * index, with: UInt16(truncatingIfNeeded: count))
        }
        return writer.bytes
    }
}

extension DNSWriter {
    /// Writes items until one does not end within `available` octets; returns how many do.
    fileprivate mutating func writeFitting<Item>(
        _ items: [Item], _ available: Int, _ write: (Item, inout DNSWriter) -> Void
    ) -> Int {
        for (index, item) in items.enumerated() {
            let before = bytes.count
            write(item, &self)
            guard bytes.count <= available else {
                truncate(to: before)
                return index
            }
        }
        return items.count
    }
}

extension DNSQuestion {
    init(reader: inout DNSReader) throws(DNSDecodingError) {
        name = try reader.name()
        type = DNSRecordType(rawValue: try reader.word())
        recordClass = DNSClass(rawValue: try reader.word())
    }

    func write(to writer: inout DNSWriter) {
        writer.write(name, compressed: true)
        writer.write(word: type.rawValue)
        writer.write(word: recordClass.rawValue)
    }

    /// Reads the question of a message that has exactly one, and nothing after it: enough to tell whether an answer
    /// belongs to a query.
    package init(onlyQuestionOf message: [UInt8]) throws(DNSDecodingError) {
        var reader = DNSReader(message, position: DNSHeader.size)
        guard message.count >= DNSHeader.size else { throw .truncated(offset: 0) }
        guard message[4] == 0, message[5] == 1 else { throw .questionCount }
        self = try DNSQuestion(reader: &reader)
    }
}
