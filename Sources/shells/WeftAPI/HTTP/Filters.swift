import WeftText

/// The `filters` of a list: `{"name":{"x":true}}` as the CLI writes them, `{"name":["x"]}` as SDKs do.
struct Filters {
    private var wanted: [String: [String]] = [:]

    /// Nil for `allowed`: a key that means nothing is left out of account, as dockerd does with events.
    init(_ request: APIRequest, allowed: Set<String>?) throws(APIError) {
        guard let text = request.query["filters"] else { return }
        let json: JSON
        do { json = try JSON(parsing: Array(text.utf8)) } catch {
            throw .badRequest("filters is not JSON: \(error.reason)")
        }
        guard case .object(let members) = json else { throw .badRequest("filters must be a JSON object") }
        for (key, value) in members {
            if let allowed, !allowed.contains(key) {
                throw .badRequest("invalid filter '\(key)'; there are \(allowed.sorted().joined(separator: ", "))")
            }
            wanted[key, default: []] += try Self.values(value, key: key)
        }
    }

    private static func values(_ json: JSON, key: String) throws(APIError) -> [String] {
        switch json {
        case .object(let members): return members.compactMap { $0.value == .bool(false) ? nil : $0.key }
        case .array(let elements):
            var texts: [String] = []
            for element in elements {
                guard case .string(let text) = element else { throw .badRequest("the filter '\(key)' must hold texts") }
                texts.append(text)
            }
            return texts
        case .string(let text): return [text]
        case .null: return []
        case .bool, .integer, .number: throw .badRequest("the filter '\(key)' must hold texts")
        }
    }

    /// What was asked of `key`; empty when nothing was.
    subscript(key: String) -> [String] { wanted[key] ?? [] }

    /// True when nothing was asked of `key`, or one of the values asked for fits.
    func matches(_ key: String, _ fits: (String) -> Bool) -> Bool {
        let values = self[key]
        return values.isEmpty || values.contains(where: fits)
    }

    /// As `matches`, but all values must fit, as it is with labels.
    func matchesAll(_ key: String, _ fits: (String) -> Bool) -> Bool { self[key].allSatisfy(fits) }
}

/// True when `labels` holds `wanted`: a key, or `key=value`.
func hasLabel(_ labels: [String: String], _ wanted: String) -> Bool {
    let parts = wanted.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard let value = parts.first.flatMap({ labels[String($0)] }) else { return false }
    return parts.count == 1 || value == parts[1]
}

/// True when `text` is what was asked for, or a regular expression that was asked for is found in it. One that is none fits nothing else,
/// as with Docker.
func fitsPattern(_ text: String, _ wanted: String) -> Bool { text == wanted || Pattern(wanted)?.matches(text) == true }
