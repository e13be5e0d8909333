// The process that encrypts between nodes: it opens the device and the sockets, hears the keys at a unix socket, and does nothing else.
// What it does with packets is WeftTunnel. It outlives whoever told it the keys.
import Glibc
import WeftLinux
import WeftTunnel

let arguments = Arguments(CommandLine.arguments.dropFirst())
signal(SIGPIPE, SIG_IGN)
if !Tunnel.keepSecrets() { say("its memory may be swapped out or dumped: raise the limit of locked memory") }
do throws(SystemError) {
    let tunnel = try Tunnel(arguments.options) { reason in
        say("\(reason)")
        exit(1)
    }
    // Last: who can speak to it has a tunnel.
    var control = try TunnelControl(path: arguments.control)
    try control.run(tunnel.answer)
} catch {
    say("\(error)")
    exit(1)
}
