import WeftModel
import WeftText

/// Puts an object together as Go does it: members that say nothing are left out where Docker's type says so.
struct Members {
    private(set) var json: JSON = [:]

    init() {}

    mutating func add(_ key: String, _ value: JSON) { json.append(key, value) }
    mutating func add(_ key: String, ifSaid text: String) { if !text.isEmpty { add(key, .string(text)) } }
    mutating func add(_ key: String, ifSaid texts: [String]) { if !texts.isEmpty { add(key, .strings(texts)) } }
    mutating func add(_ key: String, ifSaid texts: [String: String]) { if !texts.isEmpty { add(key, .map(texts)) } }
    mutating func add(_ key: String, ifSaid number: Int64) { if number != 0 { add(key, .integer(number)) } }
    mutating func add(_ key: String, ifTrue flag: Bool) { if flag { add(key, true) } }
    mutating func add(_ key: String, ifSaid list: [JSON]) { if !list.isEmpty { add(key, .array(list)) } }
    mutating func add(_ key: String, ifThere value: JSON?) { if let value { add(key, value) } }
}

func versionJSON(_ version: Version) -> JSON { ["Index": .integer(version.index)] }

/// `ID`, `Version`, `CreatedAt` and `UpdatedAt`, with which every object of the swarm begins.
func metaJSON(_ id: String, _ version: Version, _ createdAt: Instant, _ updatedAt: Instant) -> Members {
    var members = Members()
    members.add("ID", .string(id))
    members.add("Version", versionJSON(version))
    members.add("CreatedAt", .string(createdAt.rfc3339))
    members.add("UpdatedAt", .string(updatedAt.rfc3339))
    return members
}

func driverJSON(_ driver: LogDriver) -> JSON {
    var members = Members()
    members.add("Name", ifSaid: driver.name)
    members.add("Options", ifSaid: driver.options)
    return members.json
}
