internal import NIOCertificateReloading
internal import NIOSSL
internal import SwiftASN1
internal import Synchronization
internal import X509

/// A node's identity in use: kept in a directory, shared by its server and its client, replaced on renewal without
/// disturbing connections that are open.
package final class NodeCredentials: Sendable {
    private let state: Mutex<State>
    private let saving = Mutex(())
    private let directory: String
    let trust: TrustRoots

    private struct State {
        var identity: NodeIdentity
        var tls: NIOSSLContextConfigurationOverride
    }

    /// Takes up an identity and writes it to the directory, which must exist.
    package init(_ identity: NodeIdentity, directory: String) throws {
        let tls = try Self.tls(identity)
        try identity.save(to: directory)
        self.directory = directory
        trust = TrustRoots(identity.roots)
        state = Mutex(State(identity: identity, tls: tls))
    }

    /// The credentials that an earlier run left in the directory; nil when there are none.
    package static func load(from directory: String) throws -> NodeCredentials? {
        guard let identity = try NodeIdentity.load(from: directory) else { return nil }
        return try NodeCredentials(identity, directory: directory)
    }

    package var identity: NodeIdentity { state.withLock { $0.identity } }
    var tls: NIOSSLContextConfigurationOverride { state.withLock { $0.tls } }

    /// Saves the new identity; handshakes from now on use it.
    package func replace(with identity: NodeIdentity) throws {
        let tls = try Self.tls(identity)
        // Handshakes must not wait for the disk, so the file has a lock of its own.
        try saving.withLock { _ in
            try identity.save(to: directory)
            state.withLock { $0 = State(identity: identity, tls: tls) }
            trust.replace(with: identity.roots)
        }
    }

    /// Trusts these roots from now on, PEM, concatenated. Nothing happens if they are the ones trusted already.
    package func replaceRoots(pem: String) throws {
        let roots = try PEM.certificates(pem)
        let old = identity
        guard !roots.isEmpty, roots != old.roots else { return }
        try replace(with: NodeIdentity(key: old.key, certificate: old.certificate, roots: roots))
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

/// Shows the credentials' certificate of the moment in every handshake.
struct LiveCertificate: CertificateReloader {
    let credentials: NodeCredentials
    var sslContextConfigurationOverride: NIOSSLContextConfigurationOverride { credentials.tls }
}

/// A certificate that is used once, to join with.
struct FixedCertificate: CertificateReloader {
    let sslContextConfigurationOverride: NIOSSLContextConfigurationOverride
}
