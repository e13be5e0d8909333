// Keeps sockets open for a daemon that may die or be replaced: makes them, starts the daemon with them, and starts it
// anew at once when it ends. Who connects meanwhile waits in the socket's queue instead of being refused.
import Glibc
import WeftLinux

let usage = """
    USAGE: weft-supervisor --listen PATH [--listen PATH ...] -- PROGRAM [ARGUMENT ...]

    Listens on unix sockets on behalf of PROGRAM, which gets them as systemd passes sockets (LISTEN_FDS), and starts
    PROGRAM again whenever it ends. SIGTERM or SIGINT ends both; the sockets are removed then.
    """

var paths: [String] = []
var program: [String] = []
var rest = CommandLine.arguments.dropFirst()
while let argument = rest.popFirst() {
    if argument == "--listen", let path = rest.popFirst(), path.hasPrefix("/") {
        paths.append(path)
    } else if argument == "--", rest.first?.hasPrefix("/") == true {
        program = Array(rest)
        rest = []
    } else {
        say("\"\(argument)\" is not understood, or lacks an absolute path\n\(usage)")
        exit(64)
    }
}
guard !paths.isEmpty, !program.isEmpty else {
    say(usage)
    exit(64)
}
exit(Supervisor(paths: paths, program: program).run())
