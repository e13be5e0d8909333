// Does to sandboxes, in a process of its own, what weftd and weft do: for tests that need a real standard
// input and output, or a process to kill.
//
//   sandbox-driver launch RUN-DIR SHIM ID COMMAND…   launches and starts, prints the pid, then stays for ever
//   sandbox-driver attach [-t] [-i] [-s] SOCKET      -s starts the sandbox once attached
//   sandbox-driver exec [-t] [-i] [-d] SOCKET COMMAND…
//   sandbox-driver logs [-f] [-t] [-n COUNT] DIRECTORY

import Glibc
import WeftSandbox

nonisolated func drive(_ arguments: [String]) throws -> Int32 {
    var rest = arguments.dropFirst()
    var flags: Set<String> = []
    var count: Int?
    while let flag = rest.first, flag.hasPrefix("-") {
        rest = rest.dropFirst()
        if flag == "-n" { count = rest.popFirst().flatMap { Int($0) } } else { flags.insert(flag) }
    }
    guard let path = rest.popFirst() else { return 64 }
    switch arguments.first {
    case "launch":
        guard let shim = rest.popFirst(), let id = rest.popFirst() else { return 64 }
        let store = SandboxStore(runDirectory: path)
        let spec = SandboxSpec(id: id, name: id, hostname: id, command: Array(rest))
        let directory = try store.create(spec)
        let (pid, _) = try SandboxLauncher.launch(spec: spec, directory: directory, shimExecutable: shim)
        try SandboxControl.start(directory)
        print(pid)
        fflush(nil)
        while true { pause() }
    case "attach":
        return try SandboxSession.attach(
            socket: path, terminal: flags.contains("-t"), stdin: flags.contains("-i")
        ) {
            if flags.contains("-s") { try SandboxControl.start(SandboxDirectory(socket: path)) }
        }
    case "exec":
        return try SandboxSession.exec(
            socket: path, command: Array(rest), environment: ["EXTRA=1"], workingDirectory: nil,
            terminal: flags.contains("-t"), stdin: flags.contains("-i"), detach: flags.contains("-d"))
    case "logs":
        try SandboxLog.print(
            directory: SandboxDirectory(path: path), follow: flags.contains("-f"), tail: count,
            timestamps: flags.contains("-t"))
        return 0
    default:
        return 64
    }
}

do {
    exit(try drive(Array(CommandLine.arguments.dropFirst())))
} catch SandboxError.refused(let code, let reason) {
    print("refused: \(reason)")
    fflush(nil)
    exit(code)
} catch {
    print("error: \(error)")
    fflush(nil)
    exit(125)
}
