import FoundationEssentials
import WeftJSON

/// What a request to weftd can end in besides an answer.
package enum ClientError: Error, Hashable, CustomStringConvertible {
    /// weftd refused: an HTTP status and its sentence.
    case refused(status: Int, message: String)
    /// Nobody listens at the address.
    case unreachable(host: String)
    /// The socket is there and this user may not open it.
    case forbidden(host: String)
    /// `host` is not `unix:///path`.
    case invalidHost(String)
    /// The connection ended, or what came is not HTTP.
    case broken(host: String, reason: String)

    package var description: String {
        switch self {
        case .refused(_, let message): message
        case .unreachable(let host):
            "cannot connect to weftd at \(host): is weftd running? Start it with `systemctl start weftd`, or name another "
                + "socket with --host or WEFT_HOST"
        case .forbidden(let host): "permission denied on the socket of weftd at \(host): run weft as root"
        case .invalidHost(let host): "cannot use \(host) as weftd's address: give unix:///PATH/TO/docker.sock"
        case .broken(let host, let reason): "the connection to weftd at \(host) broke: \(reason)"
        }
    }

    /// The HTTP status when weftd refused.
    package var status: Int? { if case .refused(let status, _) = self { status } else { nil } }

    /// Without the words that the Engine API has of gRPC: clients of that API look for them, people have no use for them.
    static func plain(_ message: String) -> String {
        guard let code = message.firstRange(of: "rpc error: code = "),
            let description = message[code.upperBound...].firstRange(of: " desc = ")
        else { return message }
        return String(message[..<code.lowerBound] + message[description.upperBound...])
    }

    private struct ErrorBody: Decodable { let message: String }

    /// Reads `{"message": …}`; any other body is taken as it is.
    static func refused(status: Int, body: [UInt8]) -> ClientError {
        if let decoded = try? JSONText.decode(ErrorBody.self, from: body) {
            return .refused(status: status, message: plain(decoded.message))
        }
        var text = Substring(decoding: body.prefix(500), as: UTF8.self)
        while text.last?.isWhitespace == true { text.removeLast() }
        return .refused(status: status, message: text.isEmpty ? "weftd answered with status \(status)" : String(text))
    }
}
