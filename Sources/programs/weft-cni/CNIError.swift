import WeftText

/// What a runtime is told when a command fails: the CNI specification's numbers, and a sentence.
struct CNIError: Error, Hashable {
    /// Codes of the specification; from 100 up they are a plugin's own.
    enum Code: Int64, Sendable {
        case incompatibleVersion = 1
        case unknownContainer = 3
        case invalidEnvironment = 4
        case inputOutput = 5
        case notDecodable = 6
        case invalidConfiguration = 7
        case tryAgainLater = 11
        /// Of STATUS: nothing can be attached now.
        case notAvailable = 50
        /// weftd refused.
        case refused = 100
        /// CHECK found something else than ADD made.
        case notAsMade = 101
    }

    let code: Code
    let message: String
    var details = ""

    init(_ code: Code, _ message: String, details: String = "") {
        self.code = code
        self.message = message
        self.details = details
    }

    func json(version: String) -> JSON {
        var object: JSON = [
            "cniVersion": .string(version), "code": .integer(code.rawValue), "msg": .string(message),
        ]
        if !details.isEmpty { object.append("details", .string(details)) }
        return object
    }
}
