import CDatapathABI
import Glibc
import TestSupport
import Testing
import WeftBPF
import WeftLinux
import WeftNet

/// Where this host has cgroup2: alone, or beside cgroup v1.
private let cgroups: String? = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].first {
    access("\($0)/cgroup.controllers", F_OK) == 0
}

/// Key and value of the test object's table.
private struct Target {
    var ipv4: UInt32
    var port: UInt32

    init(_ address: String, _ port: UInt16) throws {
        ipv4 = try #require(IPv4Address(address)).networkOrder
        self.port = UInt32(port.bigEndian)
    }
}

/// A second object beside the overlay's, with programs on a control group: `Tests/bpf/connect.bpf.c`.
@Suite(
    .enabled(if: mayLoadPrograms && cgroups != nil, "needs root and cgroup2: loads BPF programs and makes a control group"),
    .timeLimit(.minutes(5)))
final class BPFCgroupTests {
    private let pinDirectory = "/sys/fs/bpf/weft-test/cgroup-\(UInt64.random(in: 0 ... .max))"
    private let pins: PinDirectory
    private let links: CgroupLinks
    private let cgroup: String

    init() throws {
        _ = try PinDirectory.mountFileSystemIfAbsent()
        pins = try PinDirectory(path: pinDirectory)
        links = CgroupLinks(pins: pins)
        cgroup = "\(try #require(cgroups))/weft-test-\(UInt64.random(in: 0 ... .max))"
        try #require(mkdir(cgroup, 0o755) == 0)
    }

    deinit {
        rmdir(cgroup)
        try? DatapathPrograms.removeAll(pinDirectory: pinDirectory)
    }

    private static let programs = ["test_connect4", "test_sendmsg4", "test_connect6", "test_sock_create"]

    private func declaration(targets: UInt32? = nil) -> ObjectDeclaration {
        ObjectDeclaration(
            name: "connect", code: connectObjectHex,
            maps: [MapDeclaration("weft_config"), MapDeclaration("test_target", entries: targets), MapDeclaration("test_sockets")],
            programs: Self.programs)
    }

    private func load(targets: UInt32? = nil) throws -> BPFObject {
        var loader = ObjectLoader(pins: pins)
        let object = try loader.load(declaration(targets: targets))
        try object.pinCreatedMaps(in: pins)
        return object
    }

    private func attach(_ object: BPFObject) throws {
        for name in Self.programs { try links.put(object.program(name), on: cgroup) }
    }

    /// Runs Python in the control group; true if it ends well.
    private func python(_ lines: String, inside: Bool = true) throws -> Bool {
        let enter = inside ? "echo $$ > \(cgroup)/cgroup.procs && " : ""
        return try ChildProcess.run(["sh", "-c", enter + "exec timeout 60 python3 -c '\(lines)'"]).status == 0
    }

    private func connects(_ family: String, _ address: String, _ port: UInt16, inside: Bool = true) throws -> Bool {
        try python(
            "import socket; s = socket.socket(socket.\(family)); s.settimeout(30); s.connect((\"\(address)\", \(port)))",
            inside: inside)
    }

    @Test("Programs on a control group lead its processes' connections, and nobody else's")
    func work() throws {
        let overlay = try DatapathPrograms.open(pinDirectory: pinDirectory, sizes: .small)
        let object = try load()
        #expect(object.adopted == ["weft_config"], "the overlay's map is shared by its name")
        #expect(object.created.sorted() == ["test_sockets", "test_target"])
        try attach(object)
        #expect(Set(try links.all().map(\.program)) == Set(Self.programs))

        let stream = try Listener(SOCK_STREAM)
        let datagrams = try Listener(SOCK_DGRAM)
        let targets = try object.map("test_target", Target.self, Target.self)
        try targets.put(Target("192.0.2.10", 80), Target("127.0.0.1", stream.port))
        try targets.put(Target("192.0.2.10", 53), Target("127.0.0.1", datagrams.port))
        #expect(try connects("AF_INET", "192.0.2.10", 80))
        #expect(try !connects("AF_INET6", "::1", stream.port), "the program refuses")
        #expect(
            try python("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"weft\", (\"192.0.2.10\", 53))"))
        #expect(datagrams.receive() == Array("weft".utf8))
        #expect(try object.map("test_sockets", UInt32.self, UInt64.self).get(0) == 3)
        #expect(try connects("AF_INET", "127.0.0.1", stream.port, inside: false))
        #expect(try object.map("test_sockets", UInt32.self, UInt64.self).get(0) == 3)

        // Both objects go by the one map: without its version nothing is led anywhere.
        let shared = try object.map("weft_config", UInt32.self, weft_config.self)
        #expect(try shared.get(0)?.abi_version == WEFT_ABI_VERSION)
        try overlay.setConfig(DatapathConfig(underlayInterface: 1, vtep: try #require(IPv4Address("172.31.0.1"))))
        #expect(try shared.get(0)?.vtep_ipv4 == IPv4Address("172.31.0.1")?.networkOrder)
    }

    @Test("A restart adopts the maps and puts new programs in the place of those that run")
    func restart() throws {
        _ = try DatapathPrograms.open(pinDirectory: pinDirectory, sizes: .small)
        let stream = try Listener(SOCK_STREAM)
        do {
            let object = try load()
            try attach(object)
            try object.map("test_target", Target.self, Target.self).put(Target("192.0.2.10", 80), Target("127.0.0.1", stream.port))
        }
        #expect(try connects("AF_INET", "192.0.2.10", 80), "what is pinned works without the loader")

        let again = try load()
        #expect(again.created.isEmpty)
        try links.update(Self.programs.map { try again.program($0) })
        #expect(try links.all().count == 4)
        #expect(try connects("AF_INET", "192.0.2.10", 80))

        // Programs of another shape run beside the former map until they are put in their place.
        let larger = try load(targets: 32)
        #expect(larger.created == ["test_target"])
        #expect(try connects("AF_INET", "192.0.2.10", 80))
        try attach(larger)
        #expect(try links.all().count == 4, "the same links, not further ones")
        #expect(try larger.map("test_target", Target.self, Target.self).get(Target("192.0.2.10", 80)) == nil)
        try larger.map("test_target", Target.self, Target.self).put(Target("192.0.2.11", 80), Target("127.0.0.1", stream.port))
        #expect(try connects("AF_INET", "192.0.2.11", 80))
    }

    @Test("A program is taken off its group, and the pins go with the group")
    func removal() throws {
        _ = try DatapathPrograms.open(pinDirectory: pinDirectory, sizes: .small)
        let stream = try Listener(SOCK_STREAM, IPv6: true)
        try attach(load())
        #expect(try !connects("AF_INET6", "::1", stream.port))
        let refusing = try #require(try links.all().first { $0.program == "test_connect6" })
        try links.remove(refusing)
        try links.remove(refusing)
        #expect(try connects("AF_INET6", "::1", stream.port))
        #expect(try links.all().count == 3)
        try #require(rmdir(cgroup) == 0)
        // The kernel takes the programs off a group that is gone when it finds the time.
        #expect(try eventually { try links.all().isEmpty })
        #expect(try FileSystem.list("\(pinDirectory)/links").isEmpty)
    }

    @Test("What is no control group, and a shared map of another shape, are refused in words")
    func refused() throws {
        let object = try load()
        let elsewhere = #expect(throws: BPFError.self) { try links.put(object.program("test_connect4"), on: "/tmp") }
        #expect(elsewhere?.description.contains("no cgroup2 directory") == true)
        var loader = ObjectLoader(pins: pins)
        _ = try loader.load(declaration(targets: 64))
        let shape = #expect(throws: BPFError.self) { _ = try loader.load(declaration(targets: 128)) }
        #expect(shape?.description.contains("test_target") == true)
        #expect(throws: BPFError.self) { try object.program("test_other") }
    }
}

/// A socket on a free port of the loopback address.
private final class Listener {
    let port: UInt16
    private let descriptor: Int32

    init(_ type: __socket_type, IPv6: Bool = false) throws {
        descriptor = socket(IPv6 ? AF_INET6 : AF_INET, Int32(type.rawValue), 0)
        try #require(descriptor >= 0)
        var storage = sockaddr_storage()
        var length = socklen_t(IPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
        storage.ss_family = sa_family_t(IPv6 ? AF_INET6 : AF_INET)
        let descriptor = descriptor
        port = try withUnsafeMutablePointer(to: &storage) { storage in
            try storage.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                if !IPv6 { address.pointee.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian }
                return try storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                    try #require(bind(descriptor, generic, length) == 0)
                    try #require(getsockname(descriptor, generic, &length) == 0)
                    return UInt16(bigEndian: address.pointee.sin_port)
                }
            }
        }
        if type == SOCK_STREAM { try #require(listen(descriptor, 16) == 0) }
    }

    deinit { close(descriptor) }

    /// The next datagram; nil when none comes.
    func receive() -> [UInt8]? {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, 1000 * Int32(patienceSeconds)) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count >= 0 ? Array(buffer.prefix(count)) : nil
    }
}
