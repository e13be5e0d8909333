import CBPF
import Glibc

/// An object file that libbpf has read, and that is not in the kernel before `load`.
struct OpenObject: ~Copyable {
    private let name: String
    private let object: OpaquePointer

    init(_ declaration: ObjectDeclaration) throws(BPFError) {
        let opened = try Self.open(declaration)
        name = declaration.name
        object = opened
    }

    /// With the sizes of its maps.
    private static func open(_ declaration: ObjectDeclaration) throws(BPFError) -> OpaquePointer {
        let bytes = declaration.bytes
        let operation = "open the embedded BPF object \(declaration.name)"
        var opened: OpaquePointer?
        try call(operation) { cbpf_object_open(bytes, bytes.count, &opened) }
        guard let opened else { throw BPFError(operation: operation, errno: ENOEXEC) }
        do {
            for map in declaration.maps {
                guard let entries = map.entries else { continue }
                try call("set the size of map \(map.name)") { cbpf_object_set_max_entries(opened, map.name, entries) }
            }
        } catch {
            cbpf_object_close(opened)
            throw error
        }
        return opened
    }

    deinit { cbpf_object_close(object) }

    /// Uses an existing map; false when its shape is not the one the programs need.
    func reuse(_ name: String, _ map: borrowing Descriptor) throws(BPFError) -> Bool {
        let number = map.rawValue
        var wanted = cbpf_map_shape()
        var found = cbpf_map_shape()
        try call("inspect map \(name)") { cbpf_object_map_shape(object, name, &wanted) }
        try call("inspect pinned map \(name)") { cbpf_map_shape(number, &found) }
        guard wanted.type == found.type, wanted.key_size == found.key_size, wanted.value_size == found.value_size,
            wanted.max_entries == found.max_entries, wanted.flags == found.flags
        else { return false }
        try call("reuse map \(name)") { cbpf_object_reuse_map(object, name, number) }
        return true
    }

    /// Creates the maps that are not reused, and has the programs verified.
    func load() throws(BPFError) {
        try call("load the BPF programs of \(name)") { cbpf_object_load(object) }
    }

    func map(_ name: String) throws(BPFError) -> Descriptor {
        Descriptor(try call("find map \(name)") { cbpf_object_map(object, name) })
    }

    func program(_ name: String) throws(BPFError) -> BPFProgram {
        let descriptor = Descriptor(try call("find program \(name)") { cbpf_object_program(object, name) })
        let type = try call("find out where program \(name) belongs") { cbpf_object_attach_type(object, name) }
        return BPFProgram(name: name, attachType: UInt32(type), descriptor: descriptor)
    }
}
