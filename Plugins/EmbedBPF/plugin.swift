import Foundation
import PackagePlugin

/// Compiles every `*.bpf.c` of the nearest folder `bpf` above the target with the toolchain's clang, and embeds each object into the
/// target as a string of hex digits: `name.bpf.c` becomes `nameObjectHex`.
///
/// For WeftBPF that is the package's `bpf`; for a test target it is `Tests/bpf`, whose programs no product has in it.
@main
struct EmbedBPF: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        // From the target, not from the package: the target may be reached by a symbolic link.
        let location = target.directoryURL.resolvingSymlinksInPath()
        guard let programs = nearest("bpf", above: location), let manifest = nearest("Package.swift", above: location) else {
            throw NoPrograms(target: target.name)
        }
        let package = manifest.deletingLastPathComponent()
        let includes = [package.appending(path: "bpf"), package.appending(path: "Sources/headers/CDatapathABI/include")]
        let headers = try includes.flatMap { try inputs(in: $0, ["h"]) } + inputs(in: programs, ["h"])
        let clang = try context.tool(named: "clang").url
        return try inputs(in: programs, ["c"]).filter { $0.lastPathComponent.hasSuffix(".bpf.c") }.map { source in
            command(source, headers, includes, clang, context.pluginWorkDirectoryURL)
        }
    }

    private func command(_ source: URL, _ headers: [URL], _ includes: [URL], _ clang: URL, _ directory: URL) -> Command {
        let name = String(source.lastPathComponent.dropLast(".bpf.c".count))
        let object = directory.appending(path: "\(name).bpf.o")
        let output = directory.appending(path: "\(name)Object.swift")
        // set -e: a compiler error ends the command with clang's own message and fails the build.
        let script = """
            set -e
            clang=$1 source=$2 object=$3 output=$4 name=$5
            shift 5
            "$clang" -target bpf -mcpu=v3 -O2 -g -Wall -Werror -I"/usr/include/$(uname -m)-linux-gnu" "$@" -c "$source" -o "$object"
            {
                printf '/// %s.bpf.c, compiled.\\nlet %sObjectHex: StaticString = "' "$name" "$name"
                od -An -v -tx1 "$object" | tr -d ' \\n'
                printf '"\\n'
            } > "$output.new"
            mv "$output.new" "$output"
            """
        return .buildCommand(
            displayName: "Compiling \(name).bpf.c for the kernel",
            executable: URL(filePath: "/bin/sh"),
            arguments: ["-c", script, "sh", clang.path(), source.path(), object.path(), output.path(), name]
                + includes.map { "-I\($0.path())" },
            inputFiles: [source] + headers,
            outputFiles: [output])
    }

    /// The path with this name in the closest folder above `location` that has one.
    private func nearest(_ name: String, above location: URL) -> URL? {
        var folder = location.deletingLastPathComponent()
        while folder.path() != "/" {
            let path = folder.appending(path: name)
            if FileManager.default.fileExists(atPath: path.path()) { return path }
            folder = folder.deletingLastPathComponent()
        }
        return nil
    }

    /// The files with these extensions below `directory`: an edit of any header compiles the programs anew.
    private func inputs(in directory: URL, _ extensions: Set<String>) throws -> [URL] {
        try FileManager.default.subpathsOfDirectory(atPath: directory.path()).sorted()
            .map { directory.appending(path: $0) }
            .filter { extensions.contains($0.pathExtension) }
    }
}

struct NoPrograms: Error, CustomStringConvertible {
    let target: String
    var description: String { "No folder bpf above the target \(target)." }
}
