import Glibc
import WeftLinux
import WeftTunnel

let arguments = Arguments(CommandLine.arguments.dropFirst())
signal(SIGPIPE, SIG_IGN)
if !Tunnel.keepSecrets() { say("its memory may be swapped out or dumped: raise the limit of locked memory") }
do throws(SystemError) {
    var control = try TunnelControl(path: arguments.control)
    let tunnel = try Tunnel(arguments.options) { reason in
        say("\(reason)")
        exit(1)
    }
    try control.run(tunnel.answer)
} catch {
    say("\(error)")
    exit(1)
}
