import Foundation
import Glibc
import Testing
import WeftFiles
import WeftLinux

private struct Entry: Codable, Equatable {
    var name: String
    var count = 0
}

/// A directory of its own, removed with it.
private final class Scratch {
    let path = FileManager.default.temporaryDirectory.appending(path: "weft-files-\(UUID().uuidString)").path

    init() throws { try FileSystem.makeDirectory(path) }
    deinit { try? FileSystem.removeTree(path) }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
    }
}

@Suite("A record in a file") struct RecordFileTests {
    @Test("is read as it was written last, and nobody else may read it", arguments: [Survival.host, .process])
    func roundTrip(_ survives: Survival) throws {
        let scratch = try Scratch()
        let file = RecordFile<Entry>("\(scratch.path)/entry.json", survives: survives)
        #expect(try file.load() == nil)
        try file.save(Entry(name: "a"))
        try file.save(Entry(name: "b/c", count: 2))
        #expect(try file.load() == Entry(name: "b/c", count: 2))
        #expect(try FileSystem.readText(file.path) == #"{"count":2,"name":"b/c"}"#)
        #expect(try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int == 0o600)
        #expect(try FileSystem.list(scratch.path) == ["entry.json"])
    }

    @Test("is told to be unreadable when it is broken, and can be set aside", arguments: ["", "{", "[]", "{\"count\":1}", "\u{0}\u{1}"])
    func broken(_ text: String) throws {
        let scratch = try Scratch()
        try scratch.write(text, to: "entry.json")
        let file = RecordFile<Entry>("\(scratch.path)/entry.json")
        let error = #expect(throws: UnreadableRecord.self) { try file.load() }
        #expect(error?.path == file.path && error?.description.hasPrefix("\(file.path) cannot be read (") == true)
        try file.setAside()
        #expect(try file.load() == nil)
        #expect(try FileSystem.readText("\(file.path).unreadable") == text)
        // Another one later takes its place there.
        try scratch.write("x", to: "entry.json")
        try file.setAside()
        #expect(try FileSystem.readText("\(file.path).unreadable") == "x")
    }

    @Test("is no way out of the directory for what a crash left, or somebody else")
    func leftovers() throws {
        let scratch = try Scratch()
        try scratch.write("kept", to: "other")
        #expect(symlink("\(scratch.path)/other", "\(scratch.path)/entry.json.new") == 0)
        let file = RecordFile<Entry>("\(scratch.path)/entry.json")
        try file.save(Entry(name: "a"))
        #expect(try file.load() == Entry(name: "a"))
        #expect(try FileSystem.list(scratch.path) == ["entry.json", "other"])
        #expect(try FileSystem.readText("\(scratch.path)/other") == "kept")
    }

    @Test("stays as it was when it cannot be written")
    func notWritten() throws {
        let scratch = try Scratch()
        let file = RecordFile<Entry>("\(scratch.path)/entry.json")
        try file.save(Entry(name: "a"))
        // Whatever is in the way of the new one.
        try FileSystem.makeDirectory("\(scratch.path)/entry.json.new/x")
        #expect(throws: SystemError.self) { try file.save(Entry(name: "b")) }
        #expect(try file.load() == Entry(name: "a"))
    }

    @Test("stays as it was when the disk is full, and nothing half is left", .enabled(if: geteuid() == 0, "mounts a file system"))
    func fullDisk() throws {
        let scratch = try Scratch()
        #expect(mount("tmpfs", scratch.path, "tmpfs", 0, "size=64k") == 0)
        defer { umount2(scratch.path, Int32(MNT_DETACH)) }
        let file = RecordFile<Entry>("\(scratch.path)/entry.json")
        try file.save(Entry(name: "a"))
        let error = #expect(throws: SystemError.self) {
            try file.save(Entry(name: String(repeating: "b", count: 100_000)))
        }
        #expect(error?.code == ENOSPC)
        #expect(try file.load() == Entry(name: "a"))
        #expect(try FileSystem.list(scratch.path) == ["entry.json"])
        try file.save(Entry(name: "c"))
        #expect(try file.load() == Entry(name: "c"))
    }
}

@Suite("Records in a folder") struct RecordFolderTests {
    @Test("are found again, each by its name, but for what a crash left half")
    func folder() throws {
        let scratch = try Scratch()
        let folder = RecordFolder<Entry>("\(scratch.path)/entries")
        #expect(try folder.load { _ in }.isEmpty)
        try folder.remove("nothing")
        try folder.save(Entry(name: "b"), as: "2")
        try folder.save(Entry(name: "a"), as: "1")
        try folder.save(Entry(name: "c"), as: "3")
        try folder.remove("3")
        try scratch.write("{\"na", to: "entries/4.new")
        #expect(try folder.load { error in Issue.record(error) } == [Entry(name: "a"), Entry(name: "b")])
        #expect(try FileManager.default.attributesOfItem(atPath: folder.path)[.posixPermissions] as? Int == 0o700)
    }

    @Test("that cannot be read are told, and cost none of the others")
    func unreadable() throws {
        let scratch = try Scratch()
        let folder = RecordFolder<Entry>("\(scratch.path)/entries")
        try folder.save(Entry(name: "a"), as: "1")
        try scratch.write("{", to: "entries/0")
        var told: [String] = []
        #expect(try folder.load { told.append($0.path) } == [Entry(name: "a")])
        #expect(told == ["\(folder.path)/0"])
        #expect(try FileSystem.list(folder.path) == ["0", "1"])
    }
}
