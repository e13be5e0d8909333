package import NIOSSL
internal import SwiftASN1
internal import Synchronization
package import WeftModel
internal import X509

/// A node's identity in use: kept in a directory, shared by its server and its client, replaced on renewal without
/// disturbing connections that are open.
package final class NodeCredentials: Sendable {
    private let state: Mutex<State>
    /// Locked while the file is written. The newest revision of this manager's own store that roots were read off.
    private let saving = Mutex(Version.none)
    private let directory: String
    private let dataKey: DataKey?
    private let followers = Mutex<Followers>(Followers())
    package let trust: TrustRoots

    private struct State {
        var identity: NodeIdentity
        /// What a handshake of the moment shows.
        package var tls: NIOSSLContextConfigurationOverride
    }

    private struct Followers {
        var next = 0
        var continuations: [Int: AsyncStream<Void>.Continuation] = [:]
    }

    /// Takes up an identity and writes it to the directory, which must exist; its key sealed if there is a data key.
    package convenience init(_ identity: NodeIdentity, directory: String, sealing dataKey: DataKey? = nil) throws {
        try identity.save(to: directory, sealing: dataKey)
        try self.init(saved: identity, directory: directory, sealing: dataKey)
    }

    private init(saved identity: NodeIdentity, directory: String, sealing dataKey: DataKey?) throws {
        let tls = try Self.tls(identity)
        self.directory = directory
        self.dataKey = dataKey
        trust = TrustRoots(identity.roots)
        state = Mutex(State(identity: identity, tls: tls))
    }

    /// The credentials that an earlier run left in the directory; nil when there are none. Nothing is written, but for a key that
    /// lies in the clear where there is a data key.
    package static func load(from directory: String, sealing dataKey: DataKey? = nil) throws -> NodeCredentials? {
        guard let identity = try NodeIdentity.load(from: directory, sealing: dataKey) else { return nil }
        if dataKey != nil, try !NodeIdentity.isSealed(in: directory) {
            return try NodeCredentials(identity, directory: directory, sealing: dataKey)
        }
        return try NodeCredentials(saved: identity, directory: directory, sealing: dataKey)
    }

    package var identity: NodeIdentity { state.withLock { $0.identity } }
    /// What a handshake of the moment shows.
    package var tls: NIOSSLContextConfigurationOverride { state.withLock { $0.tls } }

    /// Saves the new identity; handshakes from now on use it.
    package func replace(with identity: NodeIdentity) throws { try update(.identity(identity)) }

    /// Trusts these roots from now on, PEM, concatenated. Nothing happens if they are the ones trusted already.
    ///
    /// - Parameter revision: the store's, that they are of. Roots of an earlier one than a manager's own store gave are none any more.
    package func replaceRoots(pem: String, of revision: Version) throws {
        try update(.roots(try PEM.certificates(pem), revision, isOwnStore: false))
    }

    /// The same, read off this manager's own store: what it still tells itself of earlier revisions changes nothing after that.
    package func replaceRoots(pem: String, ofOwnStoreAt revision: Version) throws {
        try update(.roots(try PEM.certificates(pem), revision, isOwnStore: true))
    }

    private enum Change {
        case identity(NodeIdentity)
        case roots([Certificate], Version, isOwnStore: Bool)

        /// Nil when it changes nothing.
        func applied(to old: NodeIdentity) throws -> NodeIdentity? {
            switch self {
            case .identity(let identity): return identity
            case .roots(let roots, _, _):
                if roots.isEmpty || roots == old.roots { return nil }
                return try NodeIdentity(key: old.key, certificate: old.certificate, roots: roots)
            }
        }
    }

    private func update(_ change: Change) throws {
        // Handshakes must not wait for the disk, so the file has a lock of its own.
        let following = try saving.withLock { newest throws(any Error) -> [AsyncStream<Void>.Continuation] in
            if case .roots(_, let revision, let isOwnStore) = change {
                if isOwnStore { newest = max(newest, revision) }
                guard revision >= newest else { return [] }
            }
            return try save(change) ? followers.withLock { Array($0.continuations.values) } : []
        }
        for continuation in following { continuation.yield() }
    }

    /// False when the change changes nothing.
    private func save(_ change: Change) throws -> Bool {
        guard let identity = try change.applied(to: self.identity) else { return false }
        let tls = try Self.tls(identity)
        try identity.save(to: directory, sealing: dataKey)
        state.withLock { $0 = State(identity: identity, tls: tls) }
        trust.replace(with: identity.roots)
        return true
    }

    /// Yields after each replacement from now on; several may come as one.
    package func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = followers.withLock { followers in
            defer { followers.next += 1 }
            followers.continuations[followers.next] = continuation
            return followers.next
        }
        continuation.onTermination = { [weak self] _ in
            self?.followers.withLock { _ = $0.continuations.removeValue(forKey: number) }
        }
        return stream
    }

    static func tls(_ identity: NodeIdentity) throws -> NIOSSLContextConfigurationOverride {
        try tls(key: identity.key, certificate: identity.certificate)
    }

    static func tls(key: NodeKey, certificate: Certificate) throws -> NIOSSLContextConfigurationOverride {
        var override = NIOSSLContextConfigurationOverride()
        override.certificateChain = [.certificate(try NIOSSLCertificate(bytes: PEM.der(certificate), format: .der))]
        let pem = try key.value.serializeAsPEM().pemString
        override.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(pem.utf8), format: .pem))
        return override
    }
}
