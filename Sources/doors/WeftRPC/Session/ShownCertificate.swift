internal import NIOCertificateReloading
internal import NIOSSL
internal import WeftIdentity

/// Shows the credentials' certificate of the moment in every handshake.
struct LiveCertificate: CertificateReloader {
    let credentials: NodeCredentials
    var sslContextConfigurationOverride: NIOSSLContextConfigurationOverride { credentials.tls }
}

/// A certificate that is used once, to join with.
struct FixedCertificate: CertificateReloader {
    let sslContextConfigurationOverride: NIOSSLContextConfigurationOverride
}
