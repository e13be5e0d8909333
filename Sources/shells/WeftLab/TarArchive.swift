/// A tar archive (ustar) in the making. Everything in it belongs to root.
struct TarArchive {
    private var bytes: [UInt8] = []

    /// - Parameter path: without a leading slash, at most 100 bytes.
    mutating func addDirectory(_ path: String, mode: Int = 0o755) { add(path + "/", type: "5", mode: mode) }

    mutating func addLink(_ path: String, to target: String) { add(path, type: "2", mode: 0o777, link: target) }

    mutating func addFile(_ path: String, _ content: [UInt8], mode: Int = 0o644) {
        add(path, type: "0", mode: mode, size: content.count)
        bytes += content
        pad()
    }

    /// The archive with its end.
    var finished: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    private mutating func pad() { bytes += [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512) }

    private mutating func add(_ path: String, type: String, mode: Int, size: Int = 0, link: String = "") {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int, width: Int) {
            for (index, byte) in text.utf8.prefix(width).enumerated() { header[offset + index] = byte }
        }
        func number(_ value: Int, width: Int) -> String {
            let digits = String(value, radix: 8)
            return String(repeating: "0", count: max(width - 1 - digits.utf8.count, 0)) + digits
        }
        put(path, at: 0, width: 100)
        put(number(mode, width: 8), at: 100, width: 8)
        put(number(0, width: 8), at: 108, width: 8)
        put(number(0, width: 8), at: 116, width: 8)
        put(number(size, width: 12), at: 124, width: 12)
        put(number(0, width: 12), at: 136, width: 12)
        put("        ", at: 148, width: 8)
        put(type, at: 156, width: 1)
        put(link, at: 157, width: 100)
        put("ustar", at: 257, width: 6)
        put("00", at: 263, width: 2)
        put("root", at: 265, width: 32)
        put("root", at: 297, width: 32)
        put(number(header.reduce(0) { $0 + Int($1) }, width: 7) + "\0 ", at: 148, width: 8)
        bytes += header
    }
}
