// Guards the layers that ARCHITECTURE.md draws. SwiftPM lets a target import whatever its dependencies import, so the
// import graph is checked here: one table, read from top to bottom, and every `import` line of every target against it.
import Foundation
import Testing

/// Modules of the toolchain and of packages that only doors, shells and executables may touch.
private let foundation: Set = ["FoundationEssentials", "Foundation"]
private let system: Set = ["Glibc", "Synchronization", "Dispatch"]
private let nio: Set = ["NIOCore", "NIOPosix", "NIOConcurrencyHelpers"]

private struct Layer {
    let name: String
    /// The folder below Sources.
    let folder: String
    let targets: [String: Set<String>]
}

/// Target → what it may import. A target may import only targets of its own or an earlier layer.
private let layers = [
    Layer(
        name: "headers", folder: "headers", targets: ["CDatapathABI": [], "CLinuxUAPI": []]),
    Layer(
        name: "values", folder: "values",
        targets: [
            "WeftNet": [],
            "WeftText": [],
            "WeftModel": ["WeftNet", "WeftText"],
            "WeftSandboxWire": [],
            "WeftTunnelWire": [],
            "WeftWire": ["WeftNet", "CLinuxUAPI"],
        ]),
    Layer(
        name: "pure machines", folder: "machines",
        targets: [
            "WeftIPAM": ["WeftNet", "WeftModel"],
            "WeftControl": ["WeftNet", "WeftModel", "WeftIPAM"],
            "WeftNode": ["WeftNet", "WeftModel", "WeftIPAM"],
            "WeftDatapath": ["WeftNet", "WeftModel", "CDatapathABI"],
            "WeftDNS": ["WeftNet", "WeftModel", "WeftWire"],
            "WeftAgentCore": ["WeftNet", "WeftModel", "WeftNode", "WeftDatapath", "WeftDNS"],
            "WeftSim": [
                "WeftNet", "WeftModel", "WeftWire", "WeftIPAM", "WeftControl", "WeftCrypto", "WeftNode", "WeftDatapath", "WeftDNS",
                "WeftAgentCore",
            ],
            "WeftTemplate": ["WeftText"],
            "WeftESP": [],
            "WeftCrypto": ["WeftModel", "Crypto"],
        ]),
    Layer(
        name: "doors to the world", folder: "doors",
        targets: [
            "CLinux": [], "CSandbox": [], "CLab": [], "CBPF": [], "CBench": [], "CTunnel": [],
            "WeftTunnel": Set(["WeftTunnelWire", "WeftESP", "WeftLinux", "CTunnel"]).union(system),
            "WeftLinux": Set(["WeftNet", "WeftWire", "CLinux", "CLinuxUAPI"]).union(system),
            "WeftBPF": Set(["WeftNet", "WeftWire", "WeftDatapath", "WeftLinux", "CBPF", "CDatapathABI"]).union(system).union(foundation),
            "WeftKernel": [
                "WeftNet", "WeftModel", "WeftWire", "WeftDatapath", "WeftLinux", "WeftBPF", "WeftWire", "CDatapathABI", "Synchronization",
            ],
            "WeftJSON": foundation.union(["WeftText"]),
            "WeftThreads": nio,
            "WeftTunnelClient": Set(["WeftTunnelWire", "WeftLinux", "WeftThreads", "CLinux"]).union(system),
            "WeftFiles": Set(["WeftLinux", "WeftJSON"]).union(foundation),
            "WeftSandbox": Set(["WeftText", "WeftSandboxWire", "WeftLinux", "WeftJSON", "CSandbox"]).union(system).union(foundation),
            "WeftStore": ["WeftNet", "WeftModel"],
            "WeftStoreSQLite": Set([
                "WeftNet", "WeftModel", "WeftNode", "WeftAgentCore", "WeftLinux", "WeftStore", "WeftJSON", "GRDB", "GRDBSQLite",
            ]).union(foundation),
            "WeftIdentity": Set([
                "WeftNet", "WeftModel", "WeftLinux", "WeftFiles", "X509", "SwiftASN1", "Crypto", "NIOCore", "NIOSSL", "Synchronization",
            ]).union(foundation),
            "WeftRPC": Set([
                "WeftNet", "WeftModel", "WeftJSON", "WeftIdentity", "GRPCCore", "GRPCNIOTransportHTTP2Posix", "GRPCNIOTransportCore",
                "GRPCProtobuf",
                "SwiftProtobuf", "X509", "SwiftASN1", "NIOSSL", "NIOTLS", "NIOCertificateReloading", "Logging",
                "Synchronization", "Glibc",
            ]).union(nio).union(foundation),
            "WeftHTTP": Set(["NIOHTTP1", "Glibc"]).union(nio),
            "WeftClient": Set(["WeftText", "WeftJSON", "WeftHTTP", "NIOCore", "NIOHTTP1"]).union(foundation),
            "WeftEngine": Set(["WeftText", "WeftNet", "WeftModel", "WeftJSON", "WeftHTTP", "Logging", "NIOHTTP1", "Synchronization"]).union(
                nio
            ).union(foundation),
        ]),
    Layer(
        name: "shells", folder: "shells",
        targets: [
            "WeftManager": ["WeftNet", "WeftModel", "WeftControl", "WeftStore", "WeftIdentity", "Logging", "Synchronization"],
            "WeftAgent": Set([
                "WeftText", "WeftNet", "WeftModel", "WeftWire", "WeftNode", "WeftDatapath", "WeftDNS", "WeftTemplate", "WeftAgentCore",
                "WeftLinux", "WeftSandboxWire", "WeftSandbox", "WeftEngine", "WeftFiles", "WeftThreads", "Logging", "Synchronization",
            ]).union(nio).union(foundation),
            "WeftAPI": Set([
                "WeftText", "WeftNet", "WeftModel", "WeftHTTP", "WeftEngine", "Logging", "NIOHTTP1", "NIOSSL", "Synchronization",
            ])
            .union(nio).union(foundation),
            "WeftPlugin": Set(["WeftLinux", "WeftNet", "WeftModel", "WeftJSON", "WeftFiles", "WeftThreads", "Logging", "NIOHTTP1", "Glibc"])
                .union(nio).union(foundation),
            "WeftMembership": [
                "WeftNet", "WeftModel", "WeftControl", "WeftFiles", "WeftThreads", "WeftIdentity", "WeftStore", "WeftRPC", "WeftManager",
                "WeftAPI",
                "Logging", "NIOPosix", "Synchronization",
            ],
            "WeftKeys": [
                "WeftNet", "WeftModel", "WeftNode", "WeftCrypto", "WeftTunnelWire", "WeftTunnelClient", "WeftIdentity", "WeftThreads",
                "WeftLinux",
                "Crypto", "Logging", "Synchronization",
            ],
            "WeftLab": Set(["WeftText", "WeftNet", "WeftWire", "WeftLinux", "WeftSandbox", "WeftClient", "CSandbox", "CLab", "NIOHTTP1"])
                .union(system).union(foundation),
        ]),
]

/// Programs are rows like others: what they must not link, they do not list. weftd wires everything together, and names all it
/// takes for that.
private let programs = Layer(
    name: "programs", folder: "programs",
    targets: [
        "weftd": Set([
            "WeftNet", "WeftModel", "WeftWire", "WeftControl", "WeftNode", "WeftDatapath", "WeftAgentCore", "WeftLinux", "WeftFiles",
            "WeftKernel", "WeftBPF", "WeftSandbox", "WeftStore", "WeftStoreSQLite", "WeftIdentity", "WeftRPC", "WeftHTTP", "WeftEngine",
            "WeftThreads", "WeftManager", "WeftAgent", "WeftAPI", "WeftPlugin", "WeftMembership", "WeftKeys", "WeftTunnelClient",
            "ArgumentParser", "Logging",
            "ServiceLifecycle", "UnixSignals", "Glibc", "Synchronization",
        ]).union(nio),
        "weft": Set([
            "WeftText", "WeftNet", "WeftTemplate", "WeftSandbox", "WeftHTTP", "WeftClient", "WeftLab", "ArgumentParser", "NIOHTTP1",
        ]).union(system).union(nio),
        "weft-shim": ["WeftText", "WeftSandboxWire", "CSandbox", "Glibc"],
        "weft-cni": ["WeftText", "WeftHTTP", "NIOCore", "NIOHTTP1", "Glibc"],
        "weft-supervisor": ["WeftLinux", "Glibc"],
        "weft-tunnel": ["WeftTunnelWire", "WeftTunnel", "WeftLinux", "Glibc"],
        "weft-bench": Set([
            "WeftNet", "WeftModel", "WeftControl", "WeftManager", "WeftStore", "WeftStoreSQLite", "WeftLinux", "WeftJSON",
            "WeftClient", "WeftDatapath", "WeftBPF", "WeftKernel", "CBench", "ArgumentParser", "NIOHTTP1", "Glibc", "Logging",
            "Synchronization",
        ]).union(foundation),
    ])

/// No CLI, CNI or plugin executable, and nothing it is made of, may import gRPC (DESIGN, section 4).
private let grpcImporters: Set = ["WeftRPC"]

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

private func sources(of target: String) throws -> [(path: String, text: String)] {
    let directory = root.appendingPathComponent("Sources/\(try folder(of: target))/\(target)")
    let files = FileManager.default.enumerator(at: directory, includingPropertiesForKeys: nil)
    var result: [(String, String)] = []
    while let file = files?.nextObject() as? URL {
        guard file.pathExtension == "swift" else { continue }
        result.append((file.path.replacingOccurrences(of: root.path + "/", with: ""), try String(contentsOf: file, encoding: .utf8)))
    }
    return result.sorted { $0.0 < $1.0 }
}

private func imports(in text: String) -> [String] {
    // #if-guarded, @_exported, @testable and access-level imports count as well.
    let pattern =
        #/^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/#
    return text.split(separator: "\n").compactMap { line in (try? pattern.firstMatch(in: line)).flatMap { $0 }.map { String($0.1) } }
}

/// Every target on disk with the folder it lies in.
private func folders() throws -> [String: String] {
    let sources = root.appendingPathComponent("Sources")
    var result: [String: String] = [:]
    for folder in try FileManager.default.contentsOfDirectory(atPath: sources.path) {
        for target in try FileManager.default.contentsOfDirectory(atPath: sources.appendingPathComponent(folder).path) {
            result[target] = folder
        }
    }
    return result
}

private func folder(of target: String) throws -> String { try folders()[target] ?? "" }

private func allTargets() throws -> Set<String> { Set(try folders().keys) }

@Suite("The layers hold")
struct LayeringTests {
    @Test("Every target has a row, and every row a target")
    func tableIsComplete() throws {
        let rows = Set((layers + [programs]).flatMap(\.targets.keys))
        let onDisk = try allTargets()
        #expect(onDisk.subtracting(rows) == [], "targets without a row")
        #expect(rows.subtracting(onDisk).subtracting(["CLinuxUAPI", "CBench"]) == [], "rows without a target")
    }

    @Test("Every target lies in its layer's folder")
    func foldersAreTheLayers() throws {
        let folders = try folders()
        for layer in layers + [programs] {
            for target in layer.targets.keys where folders[target] != nil {
                #expect(folders[target] == layer.folder, "\(target) is of the layer \(layer.name)")
            }
        }
        #expect(Set(folders.values) == Set((layers + [programs]).map(\.folder)))
    }

    @Test("Imports go only where the table allows")
    func importsFollowTheTable() throws {
        var seen = 0
        for layer in layers + [programs] {
            for (target, allowed) in layer.targets {
                for (path, text) in try sources(of: target) {
                    for name in imports(in: text) {
                        seen += 1
                        #expect(allowed.contains(name), "\(path) imports \(name), which \(target) (\(layer.name)) may not")
                    }
                }
            }
        }
        #expect(seen > 100, "the reader of import lines sees nothing")
    }

    @Test("JSON of others is read in one place, which bounds its depth")
    func onlyOneReaderOfJSON() throws {
        for target in try allTargets() where target != "WeftJSON" {
            for (path, text) in try sources(of: target) {
                #expect(!text.contains("JSONDecoder(") && !text.contains("JSONSerialization"), "\(path) reads JSON without JSONText")
            }
        }
    }

    @Test("The table itself goes downwards and never in a circle")
    func tableGoesDown() {
        var below: Set<String> = []
        for layer in layers + [programs] {
            for (target, allowed) in layer.targets {
                let own = allowed.filter { layer.targets[$0] != nil }
                let weft = allowed.filter {
                    $0.hasPrefix("Weft") || ["CLinux", "CSandbox", "CLab", "CBPF", "CDatapathABI", "CLinuxUAPI"].contains($0)
                }
                for name in weft.subtracting(own) {
                    #expect(below.contains(name), "\(target) imports \(name) of a higher layer")
                }
            }
            var open = layer.targets.mapValues { $0.filter { layer.targets[$0] != nil } }
            while let leaf = open.first(where: { $0.value.isEmpty })?.key {
                open[leaf] = nil
                for key in open.keys { open[key]?.remove(leaf) }
            }
            #expect(open.isEmpty, "a circle in \(layer.name): \(open.keys.sorted())")
            below.formUnion(layer.targets.keys)
        }
    }

    @Test("Only WeftRPC imports gRPC, and only weftd reaches it")
    func grpcStaysAtTheEdge() throws {
        for target in try allTargets() where !grpcImporters.contains(target) {
            for (path, text) in try sources(of: target) {
                for name in imports(in: text) { #expect(!name.hasPrefix("GRPC"), "\(path) imports \(name)") }
            }
        }
        for program in programs.targets.keys {
            #expect(reach(of: program).isDisjoint(with: grpcImporters) == (program != "weftd"), "\(program) links gRPC, or weftd does not")
        }
        // Whoever needs a key, a token or a certificate does without it.
        #expect(reach(of: "WeftIdentity").isDisjoint(with: grpcImporters))
    }

    /// All that a target may import, and what that may, and so on.
    private func reach(of target: String) -> Set<String> {
        let table = (layers + [programs]).reduce(into: [:]) { $0.merge($1.targets) { _, new in new } }
        var (reached, next): (Set<String>, [String]) = ([], [target])
        while let name = next.popLast() {
            next += (table[name] ?? []).filter { reached.insert($0).inserted }
        }
        return reached
    }

    /// What is decided there is out of reach of tests.
    @Test("weftd is options and wiring, and stays small")
    func weftdIsWiring() throws {
        let lines = try sources(of: "weftd").map { $0.text.split(separator: "\n", omittingEmptySubsequences: false).count - 1 }
        #expect(lines.reduce(0, +) <= 1850, "move what decides something to a layer where tests reach it")
    }

    @Test("Pure layers have no clock, no randomness of their own, no async")
    func pureLayersArePure() throws {
        let banned = [
            #/\bDate\(/#, #/\bSystemRandomNumberGenerator\b/#, #/\bContinuousClock\b/#,
            #/\bSuspendingClock\b/#, #/\bTask\s*\{/#, #/\basync\b/#, #/\bawait\b/#, #/\.shuffled\(\)/#, #/\btry!/#,
            #/\bfatalError\(/#,
        ]
        for layer in layers where layer.name == "values" || layer.name == "pure machines" {
            for target in layer.targets.keys.sorted() {
                for (path, text) in try sources(of: target) {
                    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                        let code = line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
                        if code.contains(".random("), !code.contains("using:") { Issue.record("\(path):\(number + 1): \(line)") }
                        for word in banned where code.contains(word) {
                            Issue.record("\(path):\(number + 1): \(line)")
                        }
                    }
                }
            }
        }
    }

    @Test("Every target says in one file's head what its job is")
    func headComments() throws {
        for (target, folder) in try folders() {
            let directory = root.appendingPathComponent("Sources/\(folder)/\(target)")
            let files = try FileManager.default.subpathsOfDirectory(atPath: directory.path)
            let heads = try files.filter { $0.hasSuffix(".swift") || $0.hasSuffix(".h") || $0.hasSuffix(".c") }.filter {
                let text = try String(contentsOf: directory.appendingPathComponent($0), encoding: .utf8)
                return Self.hasHeadComment(text)
            }
            #expect(!heads.isEmpty, "\(target) has no file that begins with a comment about the target")
        }
    }

    /// True if a text begins with a comment of the file's, of two lines at least, and not with one of a declaration's.
    private static func hasHeadComment(_ text: String) -> Bool {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if let first = lines.first, first.hasPrefix("/* ") { return !first.contains("*/") }
        return lines.prefix { $0.hasPrefix("//") && !$0.hasPrefix("///") }.count >= 2
    }

    @Test("ARCHITECTURE.md names every target")
    func architectureNamesTargets() throws {
        let text = try String(contentsOf: root.appendingPathComponent("ARCHITECTURE.md"), encoding: .utf8)
        for target in try allTargets().sorted() {
            #expect(text.contains("`\(target)`"), "ARCHITECTURE.md does not tell what \(target) is for")
        }
    }
}
