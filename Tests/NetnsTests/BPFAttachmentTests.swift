import Glibc
import Testing
import WeftBPF
import WeftLinux

/// How programs are attached when nothing is said: by tcx if this kernel has it.
private let preferred: AttachmentKind? = {
    let directory = "/sys/fs/bpf/weft-test/probe\(getpid())"
    defer { try? DatapathPrograms.removeAll(pinDirectory: directory) }
    _ = try? PinDirectory.mountFileSystemIfAbsent()
    return try? DatapathPrograms.open(pinDirectory: directory, sizes: .small).attachment
}()
private let kinds: [AttachmentKind] = preferred == .tcx ? [.tcx, .tc] : [.tc]

/// Programs at interfaces by tcx and by tc: the same from outside.
@Suite(.enabled(if: mayLoadPrograms, "needs root: makes namespaces and loads BPF programs"), .timeLimit(.minutes(5)))
struct BPFAttachmentTests {
    @Test("Programs are replaced without losing a packet", arguments: kinds)
    func restart(_ kind: AttachmentKind) throws {
        try BPFTopology.with(attachment: kind) { net in
            #expect(net.b.programs.attachment == kind)
            try pinging(net) {
                let again = try net.b.open(attachment: kind)
                #expect(again.adoption.updatedInterfaces.count == 3)
            }
            #expect(try filters(of: net.b, "under").isEmpty == (kind == .tcx))
        }
    }

    @Test("Another kind takes over, and nothing of the former is left", .enabled(if: kinds.count == 2))
    func change() throws {
        try BPFTopology.with(attachment: .tc) { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            _ = try net.addSandbox(on: net.b, "10.77.0.21")
            for next in [AttachmentKind.tcx, .tc, .tcx] {
                let again = try net.b.open(attachment: next)
                #expect(again.attachment == next)
                #expect(again.adoption.updatedInterfaces.count == 3)
                #expect(try again.attachedInterfaces().count == 3)
                for interface in ["under", "weft_vxlan"] {
                    #expect(try filters(of: net.b, interface).isEmpty == (next == .tcx))
                    #expect(try shell(net.b.namespace, "tc qdisc show dev \(interface)").output.contains("clsact") == (next == .tc))
                }
                #expect(try eventually { try a1.pings("10.77.0.21") })
            }
        }
    }

    @Test("When nothing is said, a new endpoint gets a filter, and its link later", .enabled(if: kinds.count == 2))
    func unsaid() throws {
        try BPFTopology.with(attachment: nil) { net in
            #expect(net.b.programs.attachment == .tcx)
            // What is there stays as it is attached, and is replaced there.
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            _ = try net.addSandbox(on: net.b, "10.77.0.21")
            try pinging(net, from: a1) {
                let again = try net.b.open(attachment: nil)
                #expect(again.adoption.updatedInterfaces.count == 3)
            }
            for interface in ["under", "weft_vxlan"] { #expect(try filters(of: net.b, interface).isEmpty) }
            #expect(try filters(of: net.b, "wv2").count == 1)

            let interface = try net.b.namespace.run { if_nametoindex("wv2") }
            let pin = "\(net.b.pinDirectory)/links/\(interface)-endpoint"
            #expect(access(pin, F_OK) != 0)
            let again = try net.b.open(attachment: nil)
            try pinging(net, from: a1) {
                while try again.settle() {}
                #expect(access(pin, F_OK) == 0)
            }
            #expect(try again.attachedInterfaces().count == 3)
            #expect(try again.role(at: interface) == .endpoint)
            try again.detach(interface: interface)
            #expect(try again.role(at: interface) == nil)
            #expect(try filters(of: net.b, "wv2").isEmpty)
        }
    }

    @Test("Maps made anew leave the other kind's programs at work until the caller says so", .enabled(if: kinds.count == 2))
    func pending() throws {
        try BPFTopology.with(attachment: .tc) { net in
            let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            var sizes = MapSizes.small
            sizes.forwardEntries *= 2
            let again = try net.b.open(sizes: sizes, attachment: .tcx)
            #expect(again.adoption.pendingInterfaces.contains(b1.interface))
            #expect(try again.attachedInterfaces()[b1.interface] == .endpoint)
            #expect(try again.role(at: b1.interface) == .endpoint)
            #expect(try a1.pings("10.77.0.21"))
            try again.putForward(try net.b.programs.forward().map { ($0.key, $0.value) })
            try again.updateLinks()
            #expect(try a1.pings("10.77.0.21"))
            #expect(try filters(of: net.b, "under").isEmpty)
        }
    }

    @Test("Filters of others stay, and the queueing discipline with them")
    func others() throws {
        try BPFTopology.with(attachment: .tc) { net in
            let directory = net.b.pinDirectory + "-other"
            let other = try DatapathPrograms.open(
                pinDirectory: directory, namespace: net.b.namespace, sizes: .small, attachment: .tc)
            defer { try? DatapathPrograms.removeAll(pinDirectory: directory, namespace: net.b.namespace) }
            #expect(try other.attachedInterfaces().isEmpty)
            try other.attachUnderlay(interface: net.b.underlay)
            #expect(try filters(of: net.b, "under").count == 2)

            try net.b.programs.detach(interface: net.b.underlay)
            #expect(try other.attachedInterfaces() == [net.b.underlay: .underlay])
            #expect(try net.b.programs.role(at: net.b.underlay) == nil)
            try DatapathPrograms.removeAll(pinDirectory: directory, namespace: net.b.namespace)
            #expect(try !shell(net.b.namespace, "tc qdisc show dev under").output.contains("clsact"))
            #expect(try net.b.programs.attachedInterfaces().count == 1)
        }
    }

    @Test("What was taken off is put on again at once", arguments: kinds)
    func again(_ kind: AttachmentKind) throws {
        try BPFTopology.with(attachment: kind) { net in
            for _ in 0..<300 {
                try net.b.programs.detach(interface: net.b.underlay)
                try net.b.programs.attachUnderlay(interface: net.b.underlay)
            }
            #expect(try net.b.programs.role(at: net.b.underlay) == .underlay)
        }
    }

    @Test("Removal of everything takes the programs off their interfaces", arguments: kinds)
    func removeAll(_ kind: AttachmentKind) throws {
        try BPFTopology.with(attachment: kind) { net in
            let b1 = try net.addSandbox(on: net.b, "10.77.0.21")
            #expect(try net.b.programs.attachedInterfaces().count == 3)
            try DatapathPrograms.removeAll(pinDirectory: net.b.pinDirectory, namespace: net.b.namespace)
            #expect(access(net.b.pinDirectory, F_OK) != 0)
            for interface in ["under", "weft_vxlan"] { #expect(try filters(of: net.b, interface).isEmpty) }
            #expect(try net.b.open(attachment: kind).role(at: b1.interface) == nil)
        }
    }

    @Test("A kernel without tcx says what is missing", .enabled(if: preferred == .tc))
    func noTCX() throws {
        let directory = "/sys/fs/bpf/weft-test/notcx\(getpid())"
        defer { try? DatapathPrograms.removeAll(pinDirectory: directory) }
        let error = #expect(throws: BPFError.self) {
            try DatapathPrograms.open(pinDirectory: directory, sizes: .small, attachment: .tcx)
        }
        #expect(error?.description.contains("Linux 6.6") == true)
    }

    /// Repeats `body` while pings go from a sandbox of host a to one of host b, all of which must be answered.
    private func pinging(_ net: BPFTopology, _ body: () throws -> Void) throws {
        let a1 = try net.addSandbox(on: net.a, "10.77.0.11")
        _ = try net.addSandbox(on: net.b, "10.77.0.21")
        try pinging(net, from: a1, body)
    }

    private func pinging(_ net: BPFTopology, from a1: BPFSandbox, _ body: () throws -> Void) throws {
        let pings = try PingStream("10.77.0.21", in: a1.namespace)
        for _ in 0..<10 { try body() }
        let (answered, lost) = try pings.end()
        #expect(answered > 0 && lost == 0)
        #expect(try net.b.counters().dropped.isEmpty)
    }

    /// The lines that tc prints for programs of ours.
    private func filters(of host: BPFHost, _ interface: String) throws -> [String] {
        try shell(host.namespace, "tc filter show dev \(interface) ingress").output.split(separator: "\n").map(String.init)
            .filter { $0.contains("weft_from") }
    }
}
