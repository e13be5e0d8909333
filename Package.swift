// swift-tools-version: 6.2
import PackageDescription

let swift: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    // So that the linker can lay functions out one by one: see `compactly`.
    .unsafeFlags(["-Xfrontend", "-function-sections"], .when(configuration: .release)),
]

/// How an optimised weftd is linked, for the memory that it keeps on every host (docs/decisions/0011): with
/// the Swift runtime and the C++ library inside, what is never called left out, and what every node runs side by side at the front.
let compactly: [LinkerSetting] = [
    .unsafeFlags(
        ["-use-ld=lld", "-static-stdlib", "-L\(Context.packageDirectory)/packaging/link"]
            + ["Foundation", "CoreFoundation", "FoundationInternationalization", "FoundationEssentials", "_FoundationCShims"]
            .map { "-l\($0)" }
            + ["_FoundationCollections", "_FoundationICU", "swift_RegexParser", "swift_StringProcessing"].map { "-l\($0)" }
            + ["swiftSynchronization", "stdc++"].map { "-l\($0)" }
            + [
                "--no-export-dynamic", "--icf=safe", "-z", "pack-relative-relocs", "--no-warn-symbol-ordering",
                "--symbol-ordering-file=\(Context.packageDirectory)/packaging/weftd.order",
            ].flatMap { ["-Xlinker", $0] },
        .when(configuration: .release))
]

/// How an optimised weft-shim is linked (docs/decisions/0014): one starts with every sandbox, so that nothing is looked up and
/// relocated when it does.
let statically: [LinkerSetting] = [
    .unsafeFlags(
        ["-use-ld=lld", "-static-executable", "-Xlinker", "--gc-sections"], .when(configuration: .release))
]

/// The folders of Sources, lowest first: the layers of ARCHITECTURE.md.
enum Layer: String {
    case headers, values, machines, doors, shells, programs
}

/// A Swift target with the project's settings, in its layer's folder.
func module(
    _ layer: Layer, _ name: String, _ dependencies: [Target.Dependency] = [], plugins: [Target.PluginUsage] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(layer.rawValue)/\(name)", swiftSettings: swift, plugins: plugins)
}

/// A target in C, in its layer's folder.
func cModule(
    _ layer: Layer, _ name: String, _ dependencies: [Target.Dependency] = [], libraries: [LinkerSetting] = []
) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(layer.rawValue)/\(name)", linkerSettings: libraries)
}

func program(_ name: String, _ dependencies: [Target.Dependency], linked: [LinkerSetting] = []) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Sources/\(Layer.programs.rawValue)/\(name)", swiftSettings: swift,
        linkerSettings: linked)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], plugins: [Target.PluginUsage] = []
) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: swift, plugins: plugins)
}

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioHTTP: [Target.Dependency] = nio + [.product(name: "NIOHTTP1", package: "swift-nio")]
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// libFuzzer brings a `main` of its own, so an ordinary build has no place for this one.
let fuzzing: [Target] =
    Context.environment["WEFT_FUZZ"] == nil
    ? []
    : [.executableTarget(name: "weft-fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/Driver", swiftSettings: swift)]

let package = Package(
    name: "weft",
    products: [
        .executable(name: "weftd", targets: ["weftd"]),
        .executable(name: "weft", targets: ["weft"]),
        .executable(name: "weft-shim", targets: ["weft-shim"]),
        .executable(name: "weft-cni", targets: ["weft-cni"]),
        .executable(name: "weft-supervisor", targets: ["weft-supervisor"]),
        .executable(name: "weft-tunnel", targets: ["weft-tunnel"]),
        .executable(name: "weft-bench", targets: ["weft-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.0"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.0"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
        .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.0"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.0"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf.git", from: "2.4.0"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
    ],
    targets: [
        // Headers shared with the kernel's side.
        cModule(.headers, "CDatapathABI"),
        cModule(.headers, "CLinuxUAPI"),

        // Values.
        module(.values, "WeftNet"),
        module(.values, "WeftText"),
        module(.values, "WeftModel", ["WeftNet", "WeftText"]),
        module(.values, "WeftSandboxWire"),
        module(.values, "WeftTunnelWire"),
        module(.values, "WeftWire", ["WeftNet", "CLinuxUAPI"]),

        // Pure machines.
        module(.machines, "WeftIPAM", ["WeftNet", "WeftModel"]),
        module(.machines, "WeftControl", ["WeftNet", "WeftModel", "WeftIPAM"]),
        module(.machines, "WeftNode", ["WeftNet", "WeftModel", "WeftIPAM"]),
        module(.machines, "WeftDatapath", ["WeftNet", "WeftModel", "CDatapathABI"]),
        module(.machines, "WeftDNS", ["WeftNet", "WeftModel", "WeftWire"]),
        module(.machines, "WeftAgentCore", ["WeftNet", "WeftModel", "WeftNode", "WeftDatapath", "WeftDNS"]),
        module(
            .machines, "WeftSim",
            [
                "WeftNet", "WeftModel", "WeftWire", "WeftIPAM", "WeftControl", "WeftCrypto", "WeftNode", "WeftDatapath", "WeftDNS",
                "WeftAgentCore",
            ]),
        module(.machines, "WeftTemplate", ["WeftText"]),
        module(.machines, "WeftESP"),
        module(.machines, "WeftCrypto", ["WeftModel", .product(name: "Crypto", package: "swift-crypto")]),

        // Doors to the world.
        cModule(.doors, "CLinux"),
        cModule(.doors, "CSandbox"),
        cModule(.doors, "CLab"),
        // The load generators of the benchmark.
        cModule(.doors, "CBench"),
        cModule(
            .doors, "CBPF", ["CDatapathABI"],
            libraries: [.linkedLibrary("bpf"), .linkedLibrary("elf"), .linkedLibrary("z")]),
        // The way of encrypted packets; libcrypto, as swift-crypto takes three times as long for one.
        cModule(.doors, "CTunnel", libraries: [.linkedLibrary("crypto")]),
        module(.doors, "WeftLinux", ["WeftNet", "WeftWire", "CLinux"]),
        module(
            .doors, "WeftBPF", ["WeftNet", "WeftWire", "WeftDatapath", "WeftLinux", "CBPF", "CDatapathABI"], plugins: ["EmbedBPF"]),
        module(.doors, "WeftTunnel", ["WeftTunnelWire", "WeftESP", "WeftLinux", "CTunnel"]),
        module(.doors, "WeftKernel", ["WeftNet", "WeftModel", "WeftWire", "WeftDatapath", "WeftLinux", "WeftBPF", "CDatapathABI"]),
        module(.doors, "WeftJSON", ["WeftText"]),
        module(.doors, "WeftThreads", nio),
        module(.doors, "WeftTunnelClient", ["WeftTunnelWire", "WeftLinux", "WeftThreads", "CLinux"]),
        module(.doors, "WeftFiles", ["WeftLinux", "WeftJSON"]),
        module(.doors, "WeftSandbox", ["WeftText", "WeftSandboxWire", "WeftLinux", "WeftJSON", "CSandbox"]),
        module(.doors, "WeftStore", ["WeftNet", "WeftModel"]),
        module(
            .doors, "WeftStoreSQLite",
            [
                "WeftStore", "WeftNet", "WeftModel", "WeftNode", "WeftAgentCore", "WeftLinux", "WeftJSON",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ]),
        module(
            .doors, "WeftIdentity",
            [
                "WeftNet", "WeftModel", "WeftLinux", "WeftFiles",
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]),
        module(
            .doors, "WeftRPC",
            [
                "WeftNet", "WeftModel", "WeftJSON", "WeftIdentity",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOCertificateReloading", package: "swift-nio-extras"),
                nioTLS, logging,
            ] + nio),
        module(.doors, "WeftHTTP", nioHTTP),
        module(.doors, "WeftClient", ["WeftText", "WeftJSON", "WeftHTTP"] + nioHTTP),
        module(.doors, "WeftEngine", ["WeftText", "WeftNet", "WeftModel", "WeftJSON", "WeftHTTP", logging] + nioHTTP),

        // Shells.
        module(
            .shells, "WeftManager",
            ["WeftNet", "WeftModel", "WeftControl", "WeftStore", "WeftIdentity", logging]),
        module(
            .shells, "WeftAgent",
            [
                "WeftText", "WeftNet", "WeftModel", "WeftWire", "WeftNode", "WeftDatapath", "WeftDNS", "WeftTemplate", "WeftAgentCore",
                "WeftLinux", "WeftSandboxWire", "WeftSandbox", "WeftEngine", "WeftFiles", "WeftThreads", logging,
            ] + nio),
        module(.shells, "WeftPlugin", ["WeftNet", "WeftModel", "WeftJSON", "WeftFiles", "WeftLinux", "WeftThreads", logging] + nioHTTP),
        module(
            .shells, "WeftAPI",
            ["WeftText", "WeftNet", "WeftModel", "WeftHTTP", "WeftEngine", logging, .product(name: "NIOSSL", package: "swift-nio-ssl")]
                + nioHTTP),
        module(
            .shells, "WeftMembership",
            [
                "WeftNet", "WeftModel", "WeftControl", "WeftFiles", "WeftThreads", "WeftIdentity", "WeftStore", "WeftRPC", "WeftManager",
                "WeftAPI",
                logging,
            ] + nio),
        module(
            .shells, "WeftLab",
            [
                "WeftText", "WeftNet", "WeftWire", "WeftLinux", "WeftClient", "WeftSandbox", "CSandbox", "CLab",
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]),

        module(
            .shells, "WeftKeys",
            [
                "WeftNet", "WeftModel", "WeftNode", "WeftCrypto", "WeftTunnelWire", "WeftTunnelClient", "WeftIdentity", "WeftThreads",
                "WeftLinux",
                .product(name: "Crypto", package: "swift-crypto"), logging,
            ]),

        // Executables.
        program(
            "weftd",
            [
                "WeftNet", "WeftModel", "WeftControl", "WeftNode", "WeftDatapath", "WeftDNS", "WeftLinux", "WeftKernel",
                "WeftSandbox", "WeftStore", "WeftStoreSQLite", "WeftIdentity", "WeftRPC", "WeftManager", "WeftAgentCore", "WeftAgent",
                "WeftAPI",
                "WeftEngine", "WeftMembership",
                "WeftPlugin", "WeftKeys", "WeftTunnelClient", "WeftFiles", "WeftJSON", "WeftHTTP", "WeftThreads",
                "WeftBPF", "WeftWire", .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"), logging, argumentParser,
            ] + nio, linked: compactly),
        program("weft", ["WeftText", "WeftNet", "WeftTemplate", "WeftClient", "WeftSandbox", "WeftLab", argumentParser] + nioHTTP),
        program("weft-shim", ["WeftText", "WeftSandboxWire", "CSandbox"], linked: statically),
        program("weft-cni", ["WeftText", "WeftHTTP"] + nioHTTP),
        program("weft-supervisor", ["WeftLinux"]),
        program("weft-tunnel", ["WeftTunnelWire", "WeftTunnel", "WeftLinux"]),
        program(
            "weft-bench",
            [
                "WeftNet", "WeftModel", "WeftControl", "WeftManager", "WeftStore", "WeftStoreSQLite", "WeftLinux", "WeftClient", "WeftJSON",
                "WeftDatapath", "WeftBPF", "WeftKernel", "CBench", argumentParser, logging,
            ] + nioHTTP),

        .plugin(name: "EmbedBPF", capability: .buildTool()),

        // Tests that need no root.
        tests("LayeringTests", []),
        tests("WeftNetTests", ["WeftNet"]),
        tests("WeftTextTests", ["WeftText"]),
        tests("WeftJSONTests", ["WeftJSON", "TestSupport"]),
        tests("WeftHTTPTests", ["WeftHTTP", "TestSupport"] + nioHTTP),
        tests("WeftFilesTests", ["WeftFiles", "WeftLinux"]),
        tests("WeftModelTests", ["WeftModel", "WeftNet"]),
        tests("WeftWireTests", ["WeftWire", "WeftNet", "CLinuxUAPI", "TestSupport"]),
        tests("WeftIPAMTests", ["WeftIPAM", "WeftModel", "WeftNet", "TestSupport"]),
        tests("WeftControlTests", ["WeftControl", "WeftModel", "WeftNet", "WeftIPAM"]),
        tests(
            "WeftManagerTests",
            [
                "WeftManager", "WeftControl", "WeftIdentity", "WeftStore", "WeftModel", "WeftNet", "TestSupport", logging,
                .product(name: "X509", package: "swift-certificates"), .product(name: "SwiftASN1", package: "swift-asn1"),
            ]),
        tests("WeftNodeTests", ["WeftNode", "WeftModel", "WeftNet", "WeftIPAM"]),
        tests("WeftDatapathTests", ["WeftDatapath", "WeftModel", "WeftNet", "CDatapathABI", "TestSupport"]),
        tests("WeftCryptoTests", ["WeftCrypto", "WeftModel", "TestSupport", .product(name: "Crypto", package: "swift-crypto")]),
        tests("WeftESPTests", ["WeftESP", "WeftNet", "TestSupport"]),
        tests("WeftDNSTests", ["WeftDNS", "WeftModel", "WeftNet", "WeftWire", "TestSupport"]),
        tests(
            "WeftAgentTests",
            [
                "WeftText", "WeftAgent", "WeftAgentCore", "WeftDatapath", "WeftEngine", "WeftSandbox", "WeftSim", "WeftDNS", "WeftModel",
                "WeftNet", "WeftNode", "WeftWire", "TestSupport", logging,
            ] + nio),
        tests("WeftSimTests", ["WeftSim", "WeftModel", "WeftNet"]),
        tests("WeftTemplateTests", ["WeftTemplate", "WeftText", "TestSupport"]),
        tests(
            "WeftStoreTests",
            [
                "WeftStore", "WeftStoreSQLite", "WeftNode", "WeftAgentCore", "WeftModel", "WeftNet",
                .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        tests(
            "WeftIdentityTests",
            ["WeftIdentity", "WeftFiles", "WeftModel", "WeftNet", .product(name: "X509", package: "swift-certificates")]),
        tests(
            "WeftKindTests",
            [
                "WeftModel", "WeftNet", "WeftControl", "WeftNode", "WeftStore", "WeftStoreSQLite", "WeftRPC",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]),
        tests(
            "WeftRPCTests",
            [
                "WeftRPC", "WeftIdentity", "WeftModel", "WeftNet", "TestSupport", logging,
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "X509", package: "swift-certificates"),
            ] + nio),
        tests(
            "WeftAPITests",
            [
                "WeftText", "WeftHTTP", "WeftAPI", "WeftEngine", "WeftClient", "WeftModel", "WeftNet", "TestSupport", logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]
                + nioHTTP),
        tests(
            "WeftMembershipTests",
            [
                "WeftMembership", "WeftAPI", "WeftControl", "WeftFiles", "WeftIdentity", "WeftManager", "WeftModel", "WeftNet", "WeftRPC",
                "WeftStore", "WeftStoreSQLite", "TestSupport", logging,
            ] + nio),
        tests(
            "WeftKeysTests",
            ["WeftKeys", "WeftCrypto", "WeftIdentity", "WeftNode", "WeftModel", "WeftNet", "WeftTunnelWire", "TestSupport", logging]),
        tests("WeftPluginTests", ["WeftPlugin", "WeftModel", "WeftNet", logging] + nioHTTP),
        tests("WeftCommandTests", ["weft", "WeftTemplate", "WeftClient", "TestSupport", argumentParser] + nioHTTP),
        // Tests that need root: namespaces of their own.
        tests(
            "NetnsTests",
            [
                "WeftNet", "WeftModel", "WeftWire", "WeftLinux", "WeftBPF", "WeftDatapath", "WeftKernel", "WeftTunnel",
                "WeftTunnelWire", "CBPF", "CDatapathABI", "TestSupport",
            ],
            plugins: ["EmbedBPF"]),
        .executableTarget(
            name: "sandbox-driver", dependencies: ["WeftSandbox"], path: "Tests/SandboxDriver", swiftSettings: swift),
        .target(name: "TestSupport", path: "Tests/Support", swiftSettings: swift),
        tests("LabTests", ["WeftLab", "WeftLinux"]),
        // Readers of foreign bytes, for FuzzTests and for scripts/fuzz.
        .target(
            name: "FuzzTargets",
            dependencies: [
                "WeftText", "WeftNet", "WeftModel", "WeftWire", "WeftDNS", "WeftTemplate", "WeftSandboxWire", "WeftAPI", "WeftIdentity",
                "WeftRPC", "WeftESP", "WeftCrypto", "WeftTunnelWire",
                "TestSupport",
            ],
            path: "Tests/Fuzz/Targets", swiftSettings: swift),
        tests("FuzzTests", ["FuzzTargets", "TestSupport"]),
        tests(
            "SandboxTests",
            [
                "WeftSandbox", "WeftSandboxWire", "WeftAgent", "WeftAgentCore", "WeftNode", "WeftNet", "WeftModel", "CSandbox",
                "weft-shim", "sandbox-driver", "TestSupport", logging,
            ] + nio),
    ] + fuzzing
)
