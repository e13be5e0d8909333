internal import NIOCore
internal import NIOPosix

/// Whether anything answers at an address: tells apart what a failed call does not.
enum Reachability {
    static let timeoutSeconds: Int64 = 5

    /// Nil, or what is wrong and what to check.
    static func problem(with address: HostPort, eventLoopGroup: MultiThreadedEventLoopGroup) async -> String? {
        do {
            let channel = try await ClientBootstrap(group: eventLoopGroup)
                .connectTimeout(.seconds(timeoutSeconds))
                .connect(host: address.host, port: address.port).get()
            try? await channel.close()
            return nil
        } catch {
            return describe(error, address)
        }
    }

    private static func describe(_ error: any Error, _ address: HostPort) -> String {
        if let error = error as? NIOConnectionError {
            if let single = error.connectionErrors.first { return describe(single.error, address) }
            if error.dnsAError != nil || error.dnsAAAAError != nil {
                return "the name \(address.host) cannot be resolved; check its spelling, or give the manager's address"
            }
        }
        if let error = error as? IOError {
            switch error.errnoCode {
            case 111:  // ECONNREFUSED
                return "nothing listens there; check the address, and that weftd runs there and is a manager"
            case 101, 113:  // ENETUNREACH, EHOSTUNREACH
                return "there is no route to that host; check the address and this host's network, and that no firewall rejects TCP port "
                    + "\(address.port)"
            default:
                return "\(error)"
            }
        }
        if case .connectTimeout? = error as? ChannelError {
            return "no answer within \(timeoutSeconds) s; check the address, and that no firewall drops TCP port "
                + "\(address.port)"
        }
        return "\(error)"
    }
}
