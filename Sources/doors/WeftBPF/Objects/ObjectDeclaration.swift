/// A compiled object file, and what of it must be known to load it: its maps and programs by their names in the file.
package struct ObjectDeclaration: Sendable {
    /// For messages: "overlay".
    package let name: String
    /// Two hex digits a byte, as the build plugin writes them.
    let code: StaticString
    package let maps: [MapDeclaration]
    package let programs: [String]

    package init(name: String, code: StaticString, maps: [MapDeclaration], programs: [String]) {
        self.name = name
        self.code = code
        self.maps = maps
        self.programs = programs
    }

    /// The object file.
    var bytes: [UInt8] {
        code.withUTF8Buffer { digits in
            func digit(_ character: UInt8) -> UInt8 { character < 0x61 ? character & 0xf : character - 0x57 }
            return (0..<digits.count / 2).map { digit(digits[2 * $0]) << 4 | digit(digits[2 * $0 + 1]) }
        }
    }
}

/// A map of an object file, pinned under its name. Objects that declare the same name share the map.
package struct MapDeclaration: Sendable, Hashable {
    package let name: String
    /// The most entries that it takes; nil: as it is compiled.
    package let entries: UInt32?

    package init(_ name: String, entries: UInt32? = nil) {
        self.name = name
        self.entries = entries
    }
}
