import Glibc
import WeftTemplate

/// weftd's API over its unix socket: one blocking request per connection. What this process may not cost is time to
/// start, so there is no event loop in it.
struct Daemon {
    let socket: String

    struct Answer {
        let status: Int
        let body: TemplateValue
        /// weftd's own sentence when it refused.
        var message: String {
            if case .string(let text)? = body.member("message") { return text }
            return "weftd answered with status \(status)"
        }
    }

    /// Seconds without an answer; weftd's own limit for an attach is five.
    private static let patience = 30

    func request(_ method: String, _ path: String, body: TemplateValue? = nil) throws(CNIError) -> Answer {
        let descriptor = try connect()
        defer { close(descriptor) }
        let text = body?.json ?? ""
        var head = "\(method) \(path) HTTP/1.1\r\nHost: weftd\r\nConnection: close\r\n"
        if body != nil { head += "Content-Type: application/json\r\n" }
        head += "Content-Length: \(text.utf8.count)\r\n\r\n"
        try send(descriptor, Array((head + text).utf8))
        return try answer(Self.readAll(descriptor, unreachable))
    }

    /// weftd is not there now, and may be soon.
    private func unreachable(_ reason: String) -> CNIError {
        CNIError(.tryAgainLater, "cannot talk to weftd at \(socket): \(reason)", details: "is weftd running on this host?")
    }

    private func connect() throws(CNIError) -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw unreachable(Self.errorText) }
        var limit = timeval(tv_sec: Self.patience, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: socket.utf8.prefix($0.count - 1)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let error = unreachable(Self.errorText)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private func send(_ descriptor: Int32, _ bytes: [UInt8]) throws(CNIError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            // Who refuses early closes early; its answer may be there to be read.
            if count < 0, errno == EPIPE { return }
            guard count > 0 else { throw unreachable(Self.errorText) }
            rest = rest.dropFirst(count)
        }
    }

    /// Reads until the end.
    static func readAll(_ descriptor: Int32, _ failure: (String) -> CNIError) throws(CNIError) -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(errno == EAGAIN ? "no answer in time" : errorText) }
            if count == 0 { return result }
            result += buffer[..<count]
            guard result.count < 16 << 20 else { throw failure("more than 16 MiB came") }
        }
    }

    private func answer(_ bytes: [UInt8]) throws(CNIError) -> Answer {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { throw unreachable("no answer came") }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw unreachable("the answer is not HTTP")
        }
        let body = bytes[end.upperBound...]
        func header(_ name: String) -> Substring? {
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2, parts[0].lowercased() == name { return parts[1].drop { $0 == " " } }
            }
            return nil
        }
        guard header("transfer-encoding") == nil else { throw unreachable("the answer comes in chunks") }
        if let length = header("content-length").flatMap({ Int($0) }), length != body.count {
            throw unreachable("the answer is not whole")
        }
        if body.isEmpty { return Answer(status: status, body: .null) }
        do { return Answer(status: status, body: try TemplateValue(json: body)) } catch {
            throw unreachable("the answer is \(error)")
        }
    }

    static var errorText: String { String(cString: strerror(errno)) }
}

/// Percent-encodes a segment of a path.
func escaped(_ text: String) -> String {
    var output = ""
    for byte in text.utf8 {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: output.unicodeScalars.append(UnicodeScalar(byte))
        default:
            let hex = String(byte, radix: 16, uppercase: true)
            output += "%" + (hex.utf8.count < 2 ? "0" : "") + hex
        }
    }
    return output
}
