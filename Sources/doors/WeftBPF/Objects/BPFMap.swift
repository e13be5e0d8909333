import CBPF
import Glibc

/// One of the kernel's maps. `Key` and `Value` are the C structures of its declaration, which have no padding.
package struct BPFMap<Key: BitwiseCopyable, Value: BitwiseCopyable>: Sendable {
    let name: String
    let descriptor: SharedDescriptor

    /// Sets one entry.
    package func put(_ key: Key, _ value: Value) throws(BPFError) {
        try call("write map \(name)") {
            withUnsafeBytes(of: key) { key in
                withUnsafeBytes(of: value) { value in
                    cbpf_map_update(descriptor.rawValue, key.baseAddress, value.baseAddress, false)
                }
            }
        }
    }

    /// Sets one entry unless the key has one. For a per-CPU map `rawValue` holds a slot for each possible CPU.
    func putIfAbsent(_ key: Key, rawValue: [UInt8]) throws(BPFError) {
        try call("write map \(name)") {
            let result = withUnsafeBytes(of: key) {
                cbpf_map_update(descriptor.rawValue, $0.baseAddress, rawValue, true)
            }
            return result == -EEXIST ? 0 : result
        }
    }

    /// Sets many entries; after a failure some of them are set.
    package func put(_ entries: [(Key, Value)]) throws(BPFError) {
        guard !entries.isEmpty else { return }
        let keys = entries.map(\.0)
        let values = entries.map(\.1)
        try call("write \(entries.count) entries of map \(name)") {
            cbpf_map_update_batch(descriptor.rawValue, keys, values, UInt32(entries.count))
        }
    }

    /// Takes an entry away; one that is not there is no error.
    package func remove(_ key: Key) throws(BPFError) {
        try call("delete from map \(name)") {
            let result = withUnsafeBytes(of: key) { cbpf_map_delete(descriptor.rawValue, $0.baseAddress) }
            return result == -ENOENT ? 0 : result
        }
    }

    /// The key's value; nil when it has none. Not for per-CPU maps.
    package func get(_ key: Key) throws(BPFError) -> Value? {
        try withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { buffer throws(BPFError) -> Value? in
            let result = try call("read map \(name)") {
                let result = withUnsafeBytes(of: key) {
                    cbpf_map_lookup(descriptor.rawValue, $0.baseAddress, buffer.baseAddress)
                }
                return result == -ENOENT ? 1 : result
            }
            return result == 0 ? UnsafeRawBufferPointer(buffer).loadUnaligned(as: Value.self) : nil
        }
    }

    /// All entries, in no order. Entries that change meanwhile may be seen before or after the change.
    package func all() throws(BPFError) -> [(Key, Value)] {
        try dump(copies: 1) { key, values in (key, values[0]) }
    }

    /// All entries of a per-CPU map, in no order, each with one value for every possible CPU.
    func allCPUs() throws(BPFError) -> [(Key, [Value])] {
        let cpus = try call("count CPUs") { cbpf_possible_cpus() }
        return try dump(copies: Int(cpus)) { key, values in (key, values) }
    }

    private func dump<Entry>(copies: Int, _ make: (Key, [Value]) -> Entry) throws(BPFError) -> [Entry] {
        var keys: UnsafeMutableRawPointer?
        var values: UnsafeMutableRawPointer?
        let count = try call("read map \(name)") { cbpf_map_dump(descriptor.rawValue, &keys, &values) }
        defer {
            free(keys)
            free(values)
        }
        guard let keys, let values else { return [] }
        // One value is stored as it is, several in slots of a multiple of eight bytes.
        let size = MemoryLayout<Value>.size
        let slot = copies == 1 ? size : (size + 7) / 8 * 8
        return (0..<Int(count)).map { index in
            make(
                keys.loadUnaligned(fromByteOffset: index * MemoryLayout<Key>.size, as: Key.self),
                (0..<copies).map { copy in
                    values.loadUnaligned(fromByteOffset: (index * copies + copy) * slot, as: Value.self)
                })
        }
    }
}
