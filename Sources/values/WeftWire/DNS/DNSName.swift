/// A domain name (RFC 1035, 3.1). Keeps the case it was given; compares and hashes without case.
package struct DNSName: Sendable {
    /// The uncompressed wire form: labels, each after its length, ended by the root's zero. 1...255 octets.
    package let wire: [UInt8]

    package static let root = DNSName(validWire: [0])
    package static let lengthMax = 255
    package static let labelLengthMax = 63

    /// Takes octets that are known to be a name's wire form.
    init(validWire wire: [UInt8]) { self.wire = wire }

    /// Nil for an empty label, one of more than 63 octets, or more than 255 octets in all.
    package init?(labels: some Sequence<some Collection<UInt8>>) {
        var wire: [UInt8] = []
        for label in labels {
            guard (1...Self.labelLengthMax).contains(label.count) else { return nil }
            wire.append(UInt8(label.count))
            wire.append(contentsOf: label)
        }
        wire.append(0)
        guard wire.count <= Self.lengthMax else { return nil }
        self.wire = wire
    }

    package var isRoot: Bool { wire.count == 1 }

    /// The labels from left to right, without the root's.
    package var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var start = 0
        while wire[start] != 0 {
            let end = start + 1 + Int(wire[start])
            labels.append(wire[start + 1..<end])
            start = end
        }
        return labels
    }

    /// The ways to cut the name in two, neither part empty, the shortest first part first.
    package var splits: [(first: DNSName, rest: DNSName)] {
        var splits: [(first: DNSName, rest: DNSName)] = []
        var cut = 1 + Int(wire[0])
        while cut < wire.count, wire[cut] != 0 {
            splits.append((DNSName(validWire: wire[..<cut] + [0]), DNSName(validWire: Array(wire[cut...]))))
            cut += 1 + Int(wire[cut])
        }
        return splits
    }

    /// The name with `suffix` after it; nil past 255 octets.
    package func appending(_ suffix: DNSName) -> DNSName? {
        guard wire.count - 1 + suffix.wire.count <= Self.lengthMax else { return nil }
        return DNSName(validWire: wire.dropLast() + suffix.wire)
    }

    /// A–Z to a–z. Length octets are at most 63, below `A`, so that a whole wire form can be folded octet by octet.
    static func folded(_ octet: UInt8) -> UInt8 { octet &- 0x41 < 26 ? octet | 0x20 : octet }
}

extension DNSName: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        guard left.wire.count == right.wire.count else { return false }
        for index in left.wire.indices where left.wire[index] != right.wire[index] {
            guard folded(left.wire[index]) == folded(right.wire[index]) else { return false }
        }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        // Eight octets at a time: the hasher's cost is per call.
        var word: UInt64 = 0
        for index in wire.indices {
            word = word << 8 | UInt64(Self.folded(wire[index]))
            if index & 7 == 7 { hasher.combine(word) }
        }
        hasher.combine(word)
    }
}

extension DNSName: LosslessStringConvertible {
    /// Reads a name in the text form of RFC 1035, 5.1, with or without the last dot: `\.` and `\\` stand for
    /// themselves, `\065` for an octet. `.` is the root.
    package init?(_ description: String) {
        guard description != "." else {
            self = .root
            return
        }
        var labels: [[UInt8]] = [[]]
        var rest = Array(description.utf8)[...]
        while let octet = rest.popFirst() {
            switch octet {
            case UInt8(ascii: "."):
                if !rest.isEmpty {
                    labels.append([])
                }
                // An empty label before the dot is refused below; a last dot opens no label.
                else if labels.last?.isEmpty == true {
                    return nil
                }
            case UInt8(ascii: "\\"):
                guard let unescaped = Self.unescape(&rest) else { return nil }
                labels[labels.count - 1].append(unescaped)
            default:
                labels[labels.count - 1].append(octet)
            }
        }
        self.init(labels: labels)
    }

    private static func unescape(_ rest: inout ArraySlice<UInt8>) -> UInt8? {
        guard let first = rest.popFirst() else { return nil }
        guard (0x30...0x39).contains(first) else { return first }
        guard rest.count >= 2, rest.prefix(2).allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        let digits = [first] + rest.prefix(2)
        rest.removeFirst(2)
        return UInt8(exactly: digits.reduce(0) { $0 * 10 + Int($1 - 0x30) })
    }

    /// The text form, with the last dot.
    package var description: String {
        guard !isRoot else { return "." }
        var text = ""
        for label in labels {
            for octet in label {
                switch octet {
                case UInt8(ascii: "."), UInt8(ascii: "\\"):
                    text += "\\" + String(Unicode.Scalar(octet))
                case 0x21...0x7e:
                    text.unicodeScalars.append(Unicode.Scalar(octet))
                default:
                    let decimal = String(octet)
                    text += "\\" + String(repeating: "0", count: 3 - decimal.count) + decimal
                }
            }
            text += "."
        }
        return text
    }
}
