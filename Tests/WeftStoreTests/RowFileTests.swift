import Foundation
import Testing
import WeftStoreSQLite

@Suite("Rows in a file")
struct RowFileTests {
    private func withFile(_ body: (String) throws -> Void) throws {
        let directory = NSTemporaryDirectory() + "weft-rows-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(directory + "/rows.db")
    }

    @Test("What was written is there after a reopening without a close, in a file for its owner only")
    func durable() throws {
        try withFile { path in
            let rows = try RowFile(path: path)
            var change = RowFile.Change()
            change.put("a", "2", [2])
            change.put("a", "1", [1])
            change.put("b", "1", [0, 255])
            try rows.write(change)
            let again = try RowFile(path: path)
            #expect(try again.bodies("a") == [[1], [2]])
            #expect(try again.bodies("b") == [[0, 255]])
            #expect(try again.bodies("c").isEmpty)
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
    }

    @Test("What is no such file is told from a disk that does not take it")
    func damage() throws {
        for content in [
            "no database at all, but long enough to be looked at as one", "SQLite format 3\u{0}" + String(repeating: "x", count: 4096),
        ] {
            try withFile { path in
                try Data(content.utf8).write(to: URL(fileURLWithPath: path))
                let error = #expect(throws: (any Error).self) { _ = try RowFile(path: path).bodies("a") }
                #expect(error.map(RowFile.isDamage) == true)
            }
        }
        let absent = #expect(throws: (any Error).self) { _ = try RowFile(path: "/nonexistent/rows.db") }
        #expect(absent.map(RowFile.isDamage) == false)
    }

    @Test("Closing leaves one whole file, and its log for the next start")
    func closing() throws {
        try withFile { path in
            let rows = try RowFile(path: path)
            var change = RowFile.Change()
            change.put("a", "1", [7])
            try rows.write(change)
            try rows.close()
            let copy = path + ".copy"
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            #expect(try RowFile(path: copy).bodies("a") == [[7]])
            #expect(FileManager.default.fileExists(atPath: path + "-wal") && FileManager.default.fileExists(atPath: path + "-shm"))
            let log = try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int
            #expect(log == 0, "an older copy put in its place must not be overlaid")
        }
    }

    @Test("A change clears kinds, then puts over what is there, then removes")
    func changes() throws {
        try withFile { path in
            let rows = try RowFile(path: path)
            var change = RowFile.Change()
            for id in ["1", "2", "3"] { change.put("a", id, [0]) }
            change.put("b", "1", [0])
            try rows.write(change)

            change = RowFile.Change()
            change.put("a", "2", [9])
            change.remove("a", "3")
            change.remove("a", "never there")
            try rows.write(change)
            #expect(try rows.bodies("a") == [[0], [9]])

            change = RowFile.Change()
            change.clear("a")
            change.put("a", "4", [4])
            try rows.write(change)
            #expect(try rows.bodies("a") == [[4]])
            #expect(try rows.bodies("b") == [[0]])
        }
    }
}
