import Foundation
import PackagePlugin

/// Compiles `bpf/overlay.bpf.c` with the toolchain's clang and embeds the object into WeftBPF as a string of hex digits.
@main
struct EmbedBPF: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        // From the target, not from the package: the target may be reached by a symbolic link.
        let sources = target.directoryURL.resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent()
        let programs = sources.deletingLastPathComponent().appending(path: "bpf")
        let abi = sources.appending(path: "headers/CDatapathABI/include")
        let source = programs.appending(path: "overlay.bpf.c")
        let object = context.pluginWorkDirectoryURL.appending(path: "overlay.bpf.o")
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedPrograms.swift")

        // set -e: a compiler error ends the command with clang's own message and fails the build.
        let script = """
            set -e
            "$1" -target bpf -mcpu=v3 -O2 -g -Wall -Werror -I"/usr/include/$(uname -m)-linux-gnu" -I"$2" -c "$3" -o "$4"
            {
                printf '/// bpf/overlay.bpf.c, compiled.\\nlet overlayObjectHex: StaticString = "'
                od -An -v -tx1 "$4" | tr -d ' \\n'
                printf '"\\n'
            } > "$5.new"
            mv "$5.new" "$5"
            """
        let clang = try context.tool(named: "clang").url
        return [
            .buildCommand(
                displayName: "Compiling overlay.bpf.c for the kernel",
                executable: URL(filePath: "/bin/sh"),
                arguments: ["-c", script, "sh", clang.path(), abi.path(), source.path(), object.path(), output.path()],
                inputFiles: try inputs(in: programs) + inputs(in: abi),
                outputFiles: [output])
        ]
    }

    /// Every C file below `directory`: an edit of any header compiles the programs anew.
    private func inputs(in directory: URL) throws -> [URL] {
        try FileManager.default.subpathsOfDirectory(atPath: directory.path())
            .filter { $0.hasSuffix(".h") || $0.hasSuffix(".c") }
            .sorted()
            .map { directory.appending(path: $0) }
    }
}
