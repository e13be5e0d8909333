internal import CLinux
internal import Glibc
internal import Synchronization
package import WeftWire

/// A netlink socket of one network namespace. It stays there whatever thread uses it; requests are taken one at a time.
package final class NetlinkSocket: Sendable {
    private let descriptor: OwnedDescriptor
    /// The last sequence number used, and the lock around request and answer.
    private let sequence = Mutex<UInt32>(0)

    private init(owning descriptor: Int32) { self.descriptor = OwnedDescriptor(owning: descriptor) }

    /// Whom a socket speaks with.
    package enum Subsystem: Sendable {
        /// Interfaces, addresses, routes.
        case route
        /// nftables.
        case netfilter

        fileprivate var number: Int32 {
            switch self {
            case .route: Int32(CLX_NETLINK_ROUTE)
            case .netfilter: Int32(CLX_NETLINK_NETFILTER)
            }
        }
    }

    /// Opens a socket in `namespace`.
    package static func open(in namespace: NetworkNamespace = .current, to subsystem: Subsystem = .route) throws -> NetlinkSocket {
        try namespace.run {
            let descriptor = clx_netlink_open(subsystem.number)
            guard descriptor >= 0 else { throw SystemError.last("open a netlink socket") }
            return NetlinkSocket(owning: descriptor)
        }
    }

    /// Sends a request that changes something and waits for the acknowledgement. `operation` is an infinitive, for the error.
    package func change(_ request: NetlinkWriter, _ operation: @autoclosure () -> String) throws(SystemError) {
        _ = try exchange(request, operation, isDump: false)
    }

    /// Sends the messages of a batch, of which the kernel carries out all or none, and waits for the acknowledgement that the last but
    /// one, before the batch's end, asks for.
    package func change(batch: [NetlinkWriter], _ operation: @autoclosure () -> String) throws(SystemError) {
        let outcome: Result<Void, SystemError> = sequence.withLock { last in
            let first = last &+ 1
            var bytes: [UInt8] = []
            for message in batch {
                last &+= 1
                bytes += message.message(sequence: last)
            }
            do throws(SystemError) {
                try send(bytes, operation)
                return .success(try receive(from: first, through: last &- 1, operation))
            } catch {
                return .failure(error)
            }
        }
        try outcome.get()
    }

    /// Waits for the acknowledgement of the message `last`, or an error of one before it.
    private func receive(
        from first: UInt32, through last: UInt32, _ operation: () -> String
    ) throws(SystemError) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = clx_netlink_receive(descriptor.rawValue, &buffer, buffer.count)
            guard count >= 0 else { throw .last(operation()) }
            guard let messages = NetlinkMessage.parse(Array(buffer[..<count])) else { throw malformed(operation) }
            for message in messages where message.sequence &- first <= last &- first {
                switch message.meaning {
                case .success?: if message.sequence == last { return }
                case .failure(let code, let detail)?: throw SystemError(operation(), code: code, detail: detail)
                case .noise?, .object?: continue
                case nil: throw malformed(operation)
                }
            }
        }
    }

    /// As `change`, for a creation: what is there already is success.
    package func create(_ request: NetlinkWriter, _ operation: @autoclosure () -> String) throws(SystemError) {
        do throws(SystemError) {
            try change(request, operation())
        } catch {
            guard error.alreadyExists else { throw error }
        }
    }

    /// As `change`, for a removal: what is gone already is success.
    package func remove(_ request: NetlinkWriter, _ operation: @autoclosure () -> String) throws(SystemError) {
        do throws(SystemError) {
            try change(request, operation())
        } catch {
            guard error.isNotFound else { throw error }
        }
    }

    /// The interface of that name, nil if there is none.
    package func link(named name: String) throws(SystemError) -> LinkMessage? {
        do throws(SystemError) {
            return try get(.getLink(name: name), "find interface \(name)") { LinkMessage($0) }
        } catch {
            guard error.isNotFound else { throw error }
            return nil
        }
    }

    /// Asks for one object.
    package func get<Object>(
        _ request: NetlinkWriter, _ operation: @autoclosure () -> String, _ decode: (NetlinkMessage) -> Object?
    ) throws(SystemError) -> Object {
        let messages = try exchange(request, operation, isDump: false)
        guard let object = messages.lazy.compactMap(decode).first else {
            throw SystemError(operation(), code: 0, detail: "the kernel's answer is not understood")
        }
        return object
    }

    /// Asks for all objects of a kind; repeats the dump if the tables changed meanwhile. Objects that `decode` has no use for are left out.
    package func dump<Object>(
        _ request: NetlinkWriter, _ operation: @autoclosure () -> String, _ decode: (NetlinkMessage) -> Object?
    ) throws(SystemError) -> [Object] {
        var messages: [NetlinkMessage] = []
        // After that many attempts on a busy host a slightly torn picture has to do: the next observation corrects it.
        for _ in 0..<8 {
            messages = try exchange(request, operation, isDump: true)
            if !messages.contains(where: \.isInterruptedDump) { break }
        }
        return messages.compactMap(decode)
    }

    private func exchange(
        _ request: NetlinkWriter, _ operation: () -> String, isDump: Bool
    ) throws(SystemError) -> [NetlinkMessage] {
        let outcome: Result<[NetlinkMessage], SystemError> = sequence.withLock { last in
            last &+= 1
            do throws(SystemError) {
                try send(request.message(sequence: last), operation)
                return .success(try receive(last, operation, isDump: isDump))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private func send(_ bytes: [UInt8], _ operation: () -> String) throws(SystemError) {
        guard clx_netlink_send(descriptor.rawValue, bytes, bytes.count) == bytes.count else { throw .last(operation()) }
    }

    private func receive(
        _ expected: UInt32, _ operation: () -> String, isDump: Bool
    ) throws(SystemError) -> [NetlinkMessage] {
        var objects: [NetlinkMessage] = []
        // The kernel fills at most 32 KiB per dump datagram, and answers a get in one of page size.
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = clx_netlink_receive(descriptor.rawValue, &buffer, buffer.count)
            guard count >= 0 else { throw .last(operation()) }
            guard let messages = NetlinkMessage.parse(Array(buffer[..<count])) else { throw malformed(operation) }
            // Answers to an earlier request that was given up are not ours.
            for message in messages where message.sequence == expected {
                guard let meaning = message.meaning else { throw malformed(operation) }
                switch meaning {
                case .noise: continue
                case .success:
                    if message.isInterruptedDump { objects.append(message) }
                    return objects
                case .failure(let code, let detail): throw SystemError(operation(), code: code, detail: detail)
                case .object:
                    objects.append(message)
                    if !isDump { return objects }
                }
            }
        }
    }

    private func malformed(_ operation: () -> String) -> SystemError {
        SystemError(operation(), code: 0, detail: "the kernel's answer is malformed")
    }
}
