import CBPF
import Glibc

/// The programs and maps of one object file, in the kernel.
package final class BPFObject: Sendable {
    package let name: String
    /// Maps that were there, with their contents.
    package let adopted: [String]
    /// Maps made empty: there was none, or it was of another version or shape.
    package let created: [String]
    private let programs: [String: BPFProgram]
    private let maps: [String: SharedDescriptor]

    fileprivate init(
        name: String, adopted: [String], created: [String], programs: [String: BPFProgram], maps: [String: SharedDescriptor]
    ) {
        self.name = name
        self.adopted = adopted
        self.created = created
        self.programs = programs
        self.maps = maps
    }

    package func program(_ name: String) throws(BPFError) -> BPFProgram {
        guard let program = programs[name] else { throw undeclared("program \(name)") }
        return program
    }

    package func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        _ name: String, _: Key.Type, _: Value.Type
    ) throws(BPFError) -> BPFMap<Key, Value> {
        guard let map = maps[name] else { throw undeclared("map \(name)") }
        return BPFMap(name: name, descriptor: map)
    }

    private func undeclared(_ what: String) -> BPFError { BPFError(operation: "find \(what) of the BPF object \(name)", errno: ENOENT) }

    /// Gives the maps that were made their names, in the place of whatever had them.
    package func pinCreatedMaps(in pins: PinDirectory) throws(BPFError) {
        for name in created {
            if let map = maps[name] { try pins.pin(map.rawValue, at: pins.map(name)) }
        }
    }
}

/// Loads objects with the maps of one pin directory.
package struct ObjectLoader {
    private let pins: PinDirectory
    private let adopts: Bool
    /// Maps of the objects loaded so far, which the following ones share.
    private var maps: [String: SharedDescriptor] = [:]

    /// - Parameter adopts: whether the maps that are pinned there hold what this version of the programs expects.
    package init(pins: PinDirectory, adopts: Bool = true) {
        self.pins = pins
        self.adopts = adopts
    }

    /// Loads an object. A map of an object before it is shared, a pinned one of the shape that the programs need adopted; others are
    /// made, and have no name in the pin directory before `pinCreatedMaps`.
    package mutating func load(_ declaration: ObjectDeclaration) throws(BPFError) -> BPFObject {
        let object = try OpenObject(declaration)
        var adopted: [String] = []
        for map in declaration.maps {
            if let shared = maps[map.name] {
                guard try object.reuse(map.name, shared.descriptor) else {
                    throw BPFError(
                        operation: "share map \(map.name) with the BPF object \(declaration.name), which has it in another shape",
                        errno: EINVAL)
                }
                adopted.append(map.name)
            } else if adopts, let pinned = try Descriptor(pinnedAt: pins.map(map.name)), try object.reuse(map.name, pinned) {
                adopted.append(map.name)
            }
        }
        try object.load()
        var programs: [String: BPFProgram] = [:]
        for name in declaration.programs { programs[name] = try object.program(name) }
        var own: [String: SharedDescriptor] = [:]
        for map in declaration.maps { own[map.name] = SharedDescriptor(try object.map(map.name)) }
        maps.merge(own) { first, _ in first }
        return BPFObject(
            name: declaration.name, adopted: adopted,
            created: declaration.maps.map(\.name).filter { !adopted.contains($0) }, programs: programs, maps: own)
    }
}
