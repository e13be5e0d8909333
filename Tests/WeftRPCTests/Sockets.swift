import Foundation
import Glibc
import Synchronization
import TestSupport

/// Lines that several tasks write down.
final class Scratchpad: Sendable {
    private let content = Mutex<[String]>([])
    var lines: [String] { content.withLock { $0 } }
    func add(_ line: String) { content.withLock { $0.append(line) } }
}

private func listeningSocket(backlog: Int32) throws -> (descriptor: Int32, port: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, length) == 0 && listen(descriptor, backlog) == 0
                && getsockname(descriptor, $0, &length) == 0
        }
    }
    guard bound else { throw POSIXError(.EADDRNOTAVAIL) }
    return (descriptor, UInt16(bigEndian: address.sin_port))
}

private func connected(to port: UInt16) throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = port.bigEndian
    let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    guard result == 0 else { throw POSIXError(.ECONNREFUSED) }
    return descriptor
}

/// Listens, accepts nothing, and has no room for another connection: SYNs to it get no answer.
final class FullListener {
    let port: UInt16
    private var descriptors: [Int32]

    init() throws {
        let (listener, port) = try listeningSocket(backlog: 0)
        self.port = port
        descriptors = [listener, try connected(to: port)]
        // The one place is taken when that one waits to be accepted.
        var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, Int32(patienceSeconds) * 1000) == 1 else { throw POSIXError(.ETIMEDOUT) }
        for _ in 0..<3 {
            let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            address.sin_port = port.bigEndian
            _ = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(filler, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            descriptors.append(filler)
        }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }
}

/// Sends back what it gets: something that is no manager.
final class EchoListener {
    let port: UInt16
    private let listener: Int32

    init() throws {
        let (listener, port) = try listeningSocket(backlog: 8)
        self.port = port
        self.listener = listener
        Thread.detachNewThread {
            while true {
                let peer = accept(listener, nil, nil)
                guard peer >= 0 else { return }
                Thread.detachNewThread {
                    Relay.copy(from: peer, to: peer) { false }
                    close(peer)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }
}

private final class Switch: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

/// A piece of network between a node and a manager, which can fall silent without closing anything.
final class Relay: Sendable {
    let port: UInt16
    private let listener: Int32
    private let silent = Switch()

    init(to target: UInt16) throws {
        let (listener, port) = try listeningSocket(backlog: 8)
        self.port = port
        self.listener = listener
        let silent = silent
        Thread.detachNewThread {
            while true {
                let near = accept(listener, nil, nil)
                guard near >= 0, let far = try? connected(to: target) else { return }
                Thread.detachNewThread { Self.copy(from: near, to: far) { silent.isSet } }
                Thread.detachNewThread { Self.copy(from: far, to: near) { silent.isSet } }
            }
        }
    }

    func fallSilent() { silent.set() }

    static func copy(from: Int32, to: Int32, dropping: () -> Bool) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(from, &buffer, buffer.count)
            guard count > 0 else { break }
            if dropping() { continue }
            var sent = 0
            while sent < count {
                let result = buffer[sent..<count].withUnsafeBytes {
                    send(to, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard result > 0 else { return }
                sent += result
            }
        }
        if !dropping() { shutdown(to, Int32(SHUT_RDWR)) }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }
}
