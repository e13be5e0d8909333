import WeftModel
import WeftNet

/// `node.labels.disk == ssd`, as swarm reads it.
struct Constraint: Hashable, Sendable {
    let key: String
    let isEqual: Bool
    let value: String

    /// Refuses what cannot be read, with swarm's words.
    init(_ text: String) throws(ControlError) {
        var operators = [("==", true), ("!=", false)].compactMap { sign, isEqual in text.firstRange(of: sign).map { ($0, isEqual) } }
        operators.sort { $0.0.lowerBound < $1.0.lowerBound }
        guard let (range, isEqual) = operators.first else { throw .invalidArgument("constraint expected one operator from ==, !=") }
        func trim(_ part: Substring) -> String {
            String(part.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
        }
        key = trim(text[..<range.lowerBound])
        value = trim(text[range.upperBound...])
        self.isEqual = isEqual
        guard Self.isKey(key) else { throw .invalidArgument("key '\(key)' is invalid") }
        guard Self.isValue(value) else { throw .invalidArgument("value '\(value)' is invalid") }
    }

    private static func isKey(_ text: String) -> Bool {
        text.utf8.count >= 2
            && text.unicodeScalars.enumerated().allSatisfy { index, scalar in
                switch scalar {
                case "a"..."z", "A"..."Z", "_": true
                case "0"..."9", "-", ".": index > 0
                default: false
                }
            }
    }

    private static func isValue(_ text: String) -> Bool {
        !text.isEmpty
            && text.unicodeScalars.allSatisfy { scalar in
                switch scalar {
                case "a"..."z", "A"..."Z", "0"..."9": true
                default: ":-_ .*()?+[]\\^$|/\t".unicodeScalars.contains(scalar)
                }
            }
    }

    func isMet(by node: Node) -> Bool {
        guard let met = holds(of: node) else { return false }
        return met
    }

    /// Nil where the key is of nothing that a node has.
    private func holds(of node: Node) -> Bool? {
        if let label = Self.label(key, after: "node.labels.") { return matches(node.spec.labels[label] ?? "") }
        if let label = Self.label(key, after: "engine.labels.") { return matches(node.description?.engineLabels?[label] ?? "") }
        switch key.lowercased() {
        case "node.id": return matches(node.id.rawValue)
        case "node.hostname": return matches(node.description?.hostname ?? "")
        case "node.ip": return matchesAddress(node.address)
        case "node.role": return matches(node.spec.role.rawValue)
        case "node.platform.os": return matches(Platform.ofNodes)
        case "node.platform.arch": return matches(node.description?.architecture ?? "")
        default: return nil
        }
    }

    /// The label that a key names, its case kept.
    static func label(_ key: String, after prefix: String) -> String? {
        key.lowercased().hasPrefix(prefix) && key.utf8.count > prefix.utf8.count ? String(key.dropFirst(prefix.count)) : nil
    }

    private func matches(_ actual: String) -> Bool { (actual.lowercased() == value.lowercased()) == isEqual }

    private func matchesAddress(_ address: IPv4Address?) -> Bool {
        guard let address else { return !isEqual }
        let isMatch = IPv4Prefix(value)?.contains(address) ?? (IPv4Address(value) == address)
        return isMatch == isEqual
    }
}

extension Platform {
    /// What nodes run.
    static let ofNodes = "linux"

    func suits(_ node: Node) -> Bool {
        let own = Self.normal(node.description?.architecture ?? "")
        return (os.isEmpty || os.lowercased() == Self.ofNodes) && (architecture.isEmpty || Self.normal(architecture) == own)
    }

    /// Names of one architecture, as images and kernels write them.
    private static func normal(_ name: String) -> String {
        switch name.lowercased() {
        case "x86_64", "x86-64": "amd64"
        case "aarch64": "arm64"
        default: name.lowercased()
        }
    }
}

extension Node {
    /// What does not change with what runs there.
    func suits(_ spec: TaskSpec, _ constraints: [Constraint]) -> Bool {
        misfit(spec, constraints) == nil
    }

    func misfit(_ spec: TaskSpec, _ constraints: [Constraint]) -> Misfit? {
        if spec.runtime == .container, description?.engineVersion.isEmpty ?? true { return .engine }
        if !constraints.allSatisfy({ $0.isMet(by: self) }) { return .constraints }
        let platforms = spec.placement.platforms
        return platforms.isEmpty || platforms.contains { $0.suits(self) } ? nil : .platform
    }
}
