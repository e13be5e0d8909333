// weft-shim: supervises one sandbox.
//
// weftd starts it with a socket on descriptor 3, says over that socket which sandbox to make, and learns the
// process id of the first process, which waits in its new namespaces. From then on the supervisor lives on
// its own, whatever happens to weftd: it holds the terminal or the pipes, writes the log and the state file,
// and serves <sandbox directory>/shim.sock. It ends when the sandbox's first process has ended.
//
// It is one thread with one poll loop: only so may it fork at any time. No Foundation: there is one of it
// per sandbox, and each page of it counts.

import CSandbox
import Glibc

guard CommandLine.arguments.count == 2, fcntl(3, F_GETFD) >= 0 else {
    let text = "weft-shim is started by weftd, not by hand\n"
    _ = write(2, text, text.utf8.count)
    exit(64)
}
// weftd has raised its own limit, which is none of the sandbox's.
if let descriptors = getenv("WEFT_DESCRIPTORS").flatMap({ UInt(String(cString: $0)) }) { _ = csb_limit_descriptors(descriptors) }
// The launcher waits for the process it started; the rest runs in a child that nobody has to wait for.
guard csb_detach() == 0 else { exit(71) }
_ = csb_protect_from_oom()
Supervisor.main(launcher: 3)
