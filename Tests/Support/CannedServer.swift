import Glibc
import Synchronization

/// Listens on a unix socket, gives each connection its next canned answer, and keeps what was asked.
package final class CannedServer: Sendable {
    /// What becomes of a connection once the answer is written.
    package enum Ending: Sendable {
        case close
        /// No more is said, but what the other side says is still read: until it closes.
        case halfClose
        /// Neither closed nor written to until the other side closes.
        case hold
    }

    package struct Answer: Sendable {
        let bytes: [UInt8]
        let ending: Ending
        /// Answers a request at its head, without having read its body.
        let isEarly: Bool

        package init(_ text: String, then ending: Ending = .close, isEarly: Bool = false) {
            bytes = Array(text.utf8)
            self.ending = ending
            self.isEarly = isEarly
        }
    }

    package struct CannotListen: Error {
        let errno: CInt
    }

    package let path: String
    private let requests = Mutex<[String]>([])
    private let closed = Mutex(0)
    package var received: [String] { requests.withLock { $0 } }
    /// How many connections the other side has closed before this one did.
    package var closedByOther: Int { closed.withLock { $0 } }

    package convenience init(_ answers: [String]) throws { try self.init(answers.map { Answer($0) }) }

    package init(_ answers: [Answer]) throws {
        var template = Array("/tmp/weft-canned-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw CannotListen(errno: errno) }
        path = String(cString: made) + "/docker.sock"
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0, listen(descriptor, 8) == 0 else { throw CannotListen(errno: errno) }
        detach { [weak self] in
            for answer in answers { self?.serve(descriptor, answer) }
            close(descriptor)
        }
    }

    private func serve(_ listener: CInt, _ answer: Answer) {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        defer { close(connection) }
        readRequest(connection, headOnly: answer.isEarly)
        var rest = answer.bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        switch answer.ending {
        case .close: return
        case .halfClose: shutdown(connection, CInt(SHUT_WR))
        case .hold: break
        }
        var chunk = [UInt8](repeating: 0, count: 4096)
        while read(connection, &chunk, chunk.count) > 0 {}
        closed.withLock { $0 += 1 }
    }

    private func readRequest(_ connection: CInt, headOnly: Bool) {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while !Self.isWhole(bytes, headOnly: headOnly) {
            let count = read(connection, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        requests.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
    }

    private static func isWhole(_ bytes: [UInt8], headOnly: Bool) -> Bool {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return false }
        if headOnly { return true }
        let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).lowercased()
        let length = head.split(separator: "content-length: ").dropFirst().first
        return bytes.count - end.upperBound >= length.flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
    }

    deinit {
        unlink(path)
        rmdir(String(path.dropLast("/docker.sock".count)))
    }
}

/// Runs `body` on a thread of its own: it may block.
private func detach(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
    pthread_detach(thread)
}
