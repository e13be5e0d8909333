internal import Glibc
internal import WeftLinux

/// Whose a UDP port is that a tunnel cannot have, for a person who is to do something about it.
enum PortHolder {
    static func words(_ port: UInt16) -> String {
        let sockets = sockets(port)
        let need = "encrypted networks need it on every node: end that program, or give it another port"
        guard let process = processes.first(where: { has($0, sockets) }) else { return "whose it is cannot be seen from here; \(need)" }
        let name = (try? FileSystem.readText("/proc/\(process)/comm"))?.filter { $0 != "\n" } ?? "a program"
        return "it is \(name)'s, process \(process); \(need)"
    }

    private static var processes: [String] { ((try? FileSystem.list("/proc")) ?? []).filter { Int($0) != nil } }

    /// The sockets of this network namespace on the port, as descriptors' links name them.
    private static func sockets(_ port: UInt16) -> Set<String> {
        let hexadecimal = String(port, radix: 16, uppercase: true)
        let ending = ":" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal
        let lines = ["udp", "udp6"].flatMap { ((try? FileSystem.readText("/proc/self/net/\($0)")) ?? "").split(separator: "\n") }
        return Set(
            lines.compactMap { line in
                let fields = line.split(separator: " ")
                return fields.count > 9 && fields[1].hasSuffix(ending) ? "socket:[\(fields[9])]" : nil
            })
    }

    private static func has(_ process: String, _ sockets: Set<String>) -> Bool {
        ((try? FileSystem.list("/proc/\(process)/fd")) ?? []).contains {
            (try? FileSystem.readLink("/proc/\(process)/fd/\($0)")).map(sockets.contains) ?? false
        }
    }
}
