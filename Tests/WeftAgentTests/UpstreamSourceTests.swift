import FoundationEssentials
import Logging
import NIOCore
import Testing
import WeftAgent
import WeftNet

@Suite struct UpstreamSourceTests {
    @Test func `the file is read again when it has changed, and looked at once a second`() throws {
        let path = ScratchPath.make("resolv.conf")
        defer { try? FileManager.default.removeItem(atPath: path) }
        func write(_ text: String) throws { try Data(text.utf8).write(to: URL(filePath: path)) }
        var source = UpstreamSource(
            .file(path), excluding: IPv4Address(rawValue: 0xa9fe_4d35), logger: Logger(label: "test"))
        let start = NIODeadline.now()
        #expect(source.current(now: start) == [])
        try write("nameserver 192.0.2.1\nnameserver 169.254.77.53\n")
        #expect(source.current(now: start + .milliseconds(900)) == [])
        #expect(source.current(now: start + .milliseconds(1100)) == [try SocketAddress(ipAddress: "192.0.2.1", port: 53)])
        try write("nameserver 2001:db8::1\nnameserver fe80::1%lo\n")
        let changed = source.current(now: start + .seconds(3))
        #expect(changed.first == (try SocketAddress(ipAddress: "2001:db8::1", port: 53)))
        #expect(changed.count == 2)
        try FileManager.default.removeItem(atPath: path)
        #expect(source.current(now: start + .seconds(5)) == [])
    }
}

/// A path that no other test uses.
enum ScratchPath {
    static func make(_ name: String) -> String {
        FileManager.default.temporaryDirectory.appending(path: "weft-\(UUID().uuidString)-\(name)").path
    }
}
