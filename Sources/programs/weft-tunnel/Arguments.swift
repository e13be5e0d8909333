import Glibc
import WeftTunnel

/// What the command line says.
struct Arguments {
    static let usage = """
        Usage: weft-tunnel --device NAME --address ADDRESS --inner-port PORT --control PATH [--port 4500] [--queues 1]
                           [--frames \(Tunnel.frames)]

        Encrypts what the host's programs hand to the TAP device NAME and sends it to other nodes (VXLAN in ESP in UDP), and the other
        way round. It is told the keys at the unix socket PATH, and goes on whether somebody is there or not.

          --device NAME       the TAP device, made if it is not there
          --address ADDRESS   this host's IPv4 address that other nodes send to
          --port PORT         UDP port for ESP (4500)
          --inner-port PORT   port of the VXLAN frames inside
          --control PATH      unix socket for the keys, for root alone
          --queues NUMBER     pairs of threads, 1 to 64 (1)
          --frames FORM       form of the device's frames that the programs are to have: \(Tunnel.frames), or it does not start

        Example: weft-tunnel --device weftesp --address 192.0.2.1 --inner-port 4790 --control /run/weft/tunnel.sock

        """

    private static let names: Set = ["--device", "--address", "--port", "--inner-port", "--control", "--queues", "--frames"]

    var options: Tunnel.Options
    var control: String

    /// Ends the process with the words for a person if it cannot be meant.
    init(_ arguments: some Sequence<String>) {
        let values = Self.values(arguments)
        let device = Self.required("--device", values)
        guard (1...15).contains(device.utf8.count) else { Self.fail("--device \(device): a name of an interface has 1 to 15 bytes") }
        let address = Self.required("--address", values)
        let parts = address.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        guard parts.count == 4, !parts.contains(nil) else { Self.fail("--address \(address) is no IPv4 address") }
        guard let queues = Int(values["--queues"] ?? "1"), (1...64).contains(queues) else { Self.fail("--queues takes 1 to 64") }
        let frames = values["--frames"] ?? "\(Tunnel.frames)"
        guard frames == "\(Tunnel.frames)" else {
            Self.fail("--frames \(frames): this weft-tunnel has form \(Tunnel.frames); install weftd and weft-tunnel of one version")
        }
        control = Self.required("--control", values)
        options = Tunnel.Options(
            device: device, address: parts.reduce(0) { $0 << 8 | UInt32($1 ?? 0) }, port: Self.port("--port", values["--port"] ?? "4500"),
            innerPort: Self.port("--inner-port", Self.required("--inner-port", values)), queues: queues)
    }

    private static func values(_ arguments: some Sequence<String>) -> [String: String] {
        var values: [String: String] = [:]
        var rest = arguments.makeIterator()
        while let name = rest.next() {
            if name == "--help" || name == "-h" {
                print(usage, terminator: "")
                exit(0)
            }
            guard names.contains(name) else { fail("unknown option \(name)") }
            guard let value = rest.next() else { fail("\(name) needs a value") }
            values[name] = value
        }
        return values
    }

    private static func required(_ name: String, _ values: [String: String]) -> String {
        guard let value = values[name] else { fail("\(name) is missing") }
        return value
    }

    private static func port(_ name: String, _ value: String) -> UInt16 {
        guard let port = UInt16(value), port > 0 else { fail("\(name) \(value) is no port: give 1 to 65535") }
        return port
    }

    private static func fail(_ text: String) -> Never {
        say("\(text)\nTry 'weft-tunnel --help'.")
        exit(64)
    }
}

/// Writes a line to standard error.
func say(_ text: String) {
    let line = Array("weft-tunnel: \(text)\n".utf8)
    _ = write(2, line, line.count)
}
