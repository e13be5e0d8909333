import Foundation
import Glibc
import TestSupport
import WeftAPI
import WeftText

/// A response as it stood on the wire.
struct RawResponse {
    let status: Int
    /// Names in lower case.
    let headers: [String: String]
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    var message: String? {
        guard let json = try? JSON.parse(body), case .string(let text) = json["message"] else { return nil }
        return text
    }
    func json() throws -> JSON { try JSON.parse(body) }
}

/// Speaks to a unix socket with plain system calls, on a thread of its own: the server's tasks share the test's pool, so a
/// test must not block it.
struct RawClient {
    let path: String

    struct Failure: Error { let reason: String }

    /// Sends `parts` one after another and reads until `count` responses are whole or the server closes.
    func talk(_ parts: [String], halfClose: Bool = false, count: Int, head: Bool = false) async throws -> [RawResponse] {
        let bytes = try await raw(parts, halfClose: halfClose) { Self.parse($0, head: head).count >= count }
        return Self.parse(bytes, head: head)
    }

    /// Sends one request and returns its response.
    func send(_ method: String, _ path: String, _ body: String? = nil, headers: String = "") async throws -> RawResponse {
        let content = body ?? ""
        let text =
            "\(method) \(path) HTTP/1.1\r\nHost: docker\r\n\(headers)Content-Length: \(content.utf8.count)\r\n\r\n\(content)"
        guard let response = try await talk([text], count: 1, head: method == "HEAD").first else {
            throw Failure(reason: "no whole response to \(method) \(path)")
        }
        return response
    }

    func raw(
        _ parts: [String], halfClose: Bool = false, until isDone: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws -> [UInt8] {
        let path = path
        return try await withCheckedThrowingContinuation { continuation in
            Thread { continuation.resume(with: Result { try Self.exchange(path, parts, halfClose, isDone) }) }.start()
        }
    }

    private static func exchange(
        _ path: String, _ parts: [String], _ halfClose: Bool, _ isDone: ([UInt8]) -> Bool
    ) throws -> [UInt8] {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var timeout = timeval(tv_sec: patienceSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw Failure(reason: "connect: \(errno)") }
        for part in parts {
            var rest = Array(part.utf8)[...]
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard sent > 0 else { break }
                rest = rest.dropFirst(sent)
            }
        }
        if halfClose { shutdown(descriptor, Int32(SHUT_WR)) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while !isDone(bytes) {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else {
                if count < 0, errno == EAGAIN {
                    throw Failure(reason: "timed out after \(String(decoding: bytes, as: UTF8.self))")
                }
                break
            }
            bytes += buffer[..<count]
        }
        return bytes
    }

    /// The whole responses in `bytes`. `head`: they answer HEAD and have no body.
    static func parse(_ bytes: [UInt8], head: Bool) -> [RawResponse] {
        var responses: [RawResponse] = []
        var rest = bytes[...]
        while let end = rest.firstRange(of: Array("\r\n\r\n".utf8)) {
            let lines = String(decoding: rest[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
            guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { break }
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
                if parts.count == 2 { headers[parts[0].lowercased()] = parts[1] }
            }
            rest = rest[end.upperBound...]
            var body: [UInt8] = []
            if !head, headers["transfer-encoding"] == "chunked" {
                guard let (whole, remaining) = chunks(rest) else { break }
                (body, rest) = (whole, remaining)
            } else if !head, let length = headers["content-length"].flatMap({ Int($0) }) {
                guard rest.count >= length else { break }
                body = Array(rest.prefix(length))
                rest = rest.dropFirst(length)
            }
            responses.append(RawResponse(status: status, headers: headers, body: body))
        }
        return responses
    }

    private static func chunks(_ bytes: ArraySlice<UInt8>) -> ([UInt8], ArraySlice<UInt8>)? {
        var body: [UInt8] = []
        var rest = bytes
        while let end = rest.firstRange(of: Array("\r\n".utf8)) {
            guard let length = Int(String(decoding: rest[..<end.lowerBound], as: UTF8.self), radix: 16) else {
                return nil
            }
            rest = rest[end.upperBound...]
            guard rest.count >= length + 2 else { return nil }
            body += rest.prefix(length)
            rest = rest.dropFirst(length + 2)
            if length == 0 { return (body, rest) }
        }
        return nil
    }
}

/// Runs a server on a socket in a fresh directory while `body` runs.
func withServer(
    _ backend: MemoryBackend = MemoryBackend(), extra: [Route] = [],
    _ body: @escaping @Sendable (RawClient, MemoryBackend) async throws -> Void
) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
        "weft-api-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.appendingPathComponent("docker.sock").path
    try await serve(backend, path, extra: extra) { try await body(RawClient(path: path), backend) }
}
