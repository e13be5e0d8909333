// A query and the swarm's records in, a decision out: reply, refuse, or forward. The shell around it (`WeftAgent/DNS`) has the
// sockets and the clock, says which endpoint asks, and keeps the name table current.
package import WeftNet
package import WeftWire

/// Decides what to do with one message that arrived at a node's resolver address.
///
/// Knows neither socket nor clock: the shell around it receives, forwards and sends. What it answers is what Docker's
/// embedded server answers, except where that makes clients wait or leaks names; each such place says why.
package struct Resolver: Sendable {
    package enum Decision: Hashable, Sendable {
        case reply(DNSMessage)
        /// Ask the host's resolvers and pass their answer on.
        case forward
        /// Say nothing: the message is itself a response, and answering it could go on for ever.
        case ignore
    }

    /// How long a client may keep a container's address, in seconds. Docker says 600, and its users see names lead to
    /// containers that are gone. The resolver is on the client's own host and answers in microseconds, so that
    /// keeping answers gains nothing; 0 is avoided because some caches take it for an error.
    package static let timeToLive: UInt32 = 1

    /// The largest UDP message sent and announced, in octets: fits every link without fragments (DNS Flag Day 2020).
    package static let payloadSize: UInt16 = 1232

    package init() {}

    /// The answer to `query`, which came from `asker`. Addresses come in random order, drawn from `generator`.
    package func answer(
        _ query: DNSMessage, from asker: IPv4Address, in table: NameTable,
        using generator: inout some RandomNumberGenerator
    ) -> Decision {
        answer(query, seeing: table.view(from: asker), in: table, using: &generator)
    }

    /// The answer to `query` of one who sees `view`; nil for who is no sandbox.
    package func answer(
        _ query: DNSMessage, seeing view: NameTable.View?, in table: NameTable,
        using generator: inout some RandomNumberGenerator
    ) -> Decision {
        guard !query.header.isResponse else { return .ignore }
        guard query.header.opcode == .query else { return .reply(Self.reply(to: query, .notImplemented)) }
        if let edns = query.edns, edns.version > 0 { return .reply(Self.reply(to: query, .badVersion)) }
        // RFC 9619: a query has one question.
        guard query.questions.count == 1, let question = query.questions.first else {
            return .reply(Self.reply(to: query, .formatError))
        }
        guard let view, question.recordClass == .internet,
            question.type != .axfr, question.type != .ixfr
        else { return .reply(Self.reply(to: query, .refused)) }

        if let address = ReverseName.address(of: question.name), question.type == .ptr || question.type == .any {
            switch table.owner(of: address, in: view) {
            case .visible(let name):
                return .reply(Self.reply(to: query, .noError, [Self.record(question.name, .ptr(name))]))
            case .hidden:
                // Never forwarded: what is behind an overlay address is no business of a resolver outside.
                return .reply(Self.reply(to: query, .nameError))
            case .outside where Self.isLocal(address):
                return .reply(Self.reply(to: query, .nameError))
            case .outside: break
            }
        } else if let addresses = table.addresses(of: question.name, in: view) {
            return .reply(Self.reply(to: query, question, addresses, using: &generator))
        }
        // Docker says SERVFAIL here, after which musl asks again until its timeout: a name that is not there costs
        // an Alpine container five seconds. Nothing outside can be reached, so that no other name exists.
        if view.isInternal { return .reply(Self.reply(to: query, .nameError)) }
        return .forward
    }

    /// The answer to a message that is no DNS message; nil when it has no header to answer to, or is a response.
    package func answer(undecodable message: [UInt8]) -> DNSMessage? {
        guard let header = DNSHeader(message: message), !header.isResponse else { return nil }
        return Self.reply(
            to: DNSMessage(header: header), header.opcode == .query ? .formatError : .notImplemented)
    }

    /// The largest reply to `query` over UDP, in octets.
    package static func replySizeMax(to query: DNSMessage) -> Int {
        guard let edns = query.edns else { return DNSMessage.plainUDPSizeMax }
        return max(DNSMessage.plainUDPSizeMax, Int(min(edns.payloadSize, payloadSize)))
    }

    /// An answer of an engine's resolver, as the container may keep it. Docker lets a name be kept for 600 s; what it says of the
    /// swarm's addresses, before this node was told of a container, is as short-lived as what the swarm says itself.
    package func shortened(_ answer: DNSMessage, in table: NameTable) -> DNSMessage {
        var answer = answer
        for index in answer.answers.indices where isOverlay(answer.answers[index], in: table) {
            answer.answers[index].timeToLive = min(answer.answers[index].timeToLive, Self.timeToLive)
        }
        return answer
    }

    private func isOverlay(_ record: DNSRecord, in table: NameTable) -> Bool {
        switch record.data {
        case .a(let address): table.isInSubnet(.v4(address))
        case .aaaa(let address): table.isInSubnet(.v6(address))
        case .ptr: ReverseName.address(of: record.name).map { table.isInSubnet($0) } ?? false
        default: false
        }
    }

    /// A reply without records: `code` for everything that is refused or has failed.
    package static func reply(to query: DNSMessage, _ code: DNSResponseCode) -> DNSMessage {
        var reply = reply(to: query, code, [])
        reply.header.isAuthoritative = code == .nameError
        return reply
    }

    /// The reply to a question about a name that somebody holds, or held until its peer went down.
    private static func reply(
        to query: DNSMessage, _ question: DNSQuestion, _ addresses: [IPAddress],
        using generator: inout some RandomNumberGenerator
    ) -> DNSMessage {
        guard !addresses.isEmpty else { return reply(to: query, .nameError) }
        // Any other type, MX above all, and AAAA where there is no IPv6: the name is there and has no such record. An SOA
        // record beside it would let clients remember that, for a name that may get one at any moment.
        let data = addresses.compactMap { address -> DNSRecordData? in
            switch address {
            case .v4(let address): question.type == .a || question.type == .any ? .a(address) : nil
            case .v6(let address): question.type == .aaaa || question.type == .any ? .aaaa(address) : nil
            }
        }
        return reply(to: query, .noError, data.shuffled(using: &generator).map { record(question.name, $0) })
    }

    private static func reply(to query: DNSMessage, _ code: DNSResponseCode, _ answers: [DNSRecord]) -> DNSMessage {
        var header = DNSHeader(id: query.header.id)
        header.isResponse = true
        header.opcode = query.header.opcode
        header.isAuthoritative = true
        header.recursionDesired = query.header.recursionDesired
        header.recursionAvailable = true
        header.checkingDisabled = query.header.checkingDisabled
        header.responseCode = DNSResponseCode(rawValue: code.rawValue & 0xf)
        var reply = DNSMessage(header: header)
        reply.questions = query.questions
        reply.answers = answers
        if let edns = query.edns {
            var own = EDNS(payloadSize: payloadSize)
            own.dnssecOK = edns.dnssecOK
            own.extendedResponseCode = UInt8(truncatingIfNeeded: code.rawValue >> 4)
            reply.edns = own
        }
        return reply
    }

    private static func record(_ name: DNSName, _ data: DNSRecordData) -> DNSRecord {
        DNSRecord(name: name, timeToLive: timeToLive, data: data)
    }

    /// 127.0.0.0/8 and 169.254.0.0/16, the resolver's own address among them, ::1 and fe80::/10: zones that are served
    /// locally (RFC 6303). Tools such as nslookup ask for the name of their server before anything else.
    private static func isLocal(_ address: IPAddress) -> Bool {
        switch address {
        case .v4(let address): address.isLoopback || address.rawValue >> 16 == 0xa9fe
        case .v6(let address): address.isLoopback || address.isLinkLocal || address.isUnspecified
        }
    }
}
