import CBPF
import Glibc

/// The compiled programs, opened but not yet in the kernel.
struct OverlayObject: ~Copyable {
    private let object: OpaquePointer

    init(sizes: MapSizes) throws(BPFError) {
        object = try Self.open()
        for map in MapName.allCases {
            // Refused only for a map that the object lacks, which reuse and load report.
            cbpf_object_set_max_entries(object, map.rawValue, sizes.entries(of: map))
        }
    }

    private static func open() throws(BPFError) -> OpaquePointer {
        let bytes = Self.bytes()
        var opened: OpaquePointer?
        try call("open the embedded BPF object") { cbpf_object_open(bytes, bytes.count, &opened) }
        guard let opened else { throw BPFError(operation: "open the embedded BPF object", errno: ENOEXEC) }
        return opened
    }

    deinit { cbpf_object_close(object) }

    /// The build plugin writes two hex digits a byte.
    private static func bytes() -> [UInt8] {
        overlayObjectHex.withUTF8Buffer { digits in
            func digit(_ character: UInt8) -> UInt8 { character < 0x61 ? character & 0xf : character - 0x57 }
            return (0..<digits.count / 2).map { digit(digits[2 * $0]) << 4 | digit(digits[2 * $0 + 1]) }
        }
    }

    /// Uses an existing map; false when its shape is not the one the programs need.
    func reuse(_ name: MapName, _ map: borrowing Descriptor) throws(BPFError) -> Bool {
        let number = map.rawValue
        var wanted = cbpf_map_shape()
        var found = cbpf_map_shape()
        try call("inspect map \(name.rawValue)") { cbpf_object_map_shape(object, name.rawValue, &wanted) }
        try call("inspect pinned map \(name.rawValue)") { cbpf_map_shape(number, &found) }
        guard wanted.type == found.type, wanted.key_size == found.key_size, wanted.value_size == found.value_size,
            wanted.max_entries == found.max_entries, wanted.flags == found.flags
        else { return false }
        try call("reuse map \(name.rawValue)") { cbpf_object_reuse_map(object, name.rawValue, number) }
        return true
    }

    /// Creates the maps that are not reused, and has the programs verified.
    func load() throws(BPFError) {
        try call("load the BPF programs") { cbpf_object_load(object) }
    }

    func map(_ name: MapName) throws(BPFError) -> Descriptor {
        Descriptor(try call("find map \(name.rawValue)") { cbpf_object_map(object, name.rawValue) })
    }

    func map<Key, Value>(_ name: MapName, _: Key.Type, _: Value.Type) throws(BPFError) -> BPFMap<Key, Value> {
        BPFMap(name: name.rawValue, descriptor: try map(name))
    }

    func program(_ role: AttachmentRole) throws(BPFError) -> Descriptor {
        Descriptor(try call("find program \(role.program)") { cbpf_object_program(object, role.program) })
    }
}
