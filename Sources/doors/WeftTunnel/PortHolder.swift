internal import Glibc
internal import WeftLinux

/// Whose a UDP port is that a tunnel cannot have, for a person who is to do something about it.
enum PortHolder {
    static func words(_ port: UInt16) -> String {
        let need = "encrypted networks need it on every node: end that program, or give it another port"
        let sockets = ((try? ListedSocket.all(protocol: Int32(IPPROTO_UDP))) ?? []).filter { $0.port == port }
        guard let holder = sockets.lazy.compactMap(\.holder).first else { return "whose it is cannot be seen from here; \(need)" }
        return "it is taken by \(holder); \(need)"
    }
}
