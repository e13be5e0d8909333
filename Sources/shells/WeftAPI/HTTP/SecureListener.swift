import NIOCore
import NIOSSL

/// Where the API is served over TCP: TLS with certificates on both sides, for who can connect rules the host.
package struct SecureListener: Sendable {
    let host: String
    let port: Int
    let tls: NIOSSLContext

    package struct Invalid: Error, CustomStringConvertible {
        package let description: String
    }

    /// - Parameters:
    ///   - address: `HOST:PORT`; an IPv6 host in brackets, an empty one for all addresses.
    ///   - authority: PEM file of the authorities whose clients are let in.
    ///   - certificate: PEM file of the server's certificate and what leads to its authority.
    ///   - key: PEM file of its private key.
    package init(address: String, authority: String, certificate: String, key: String) throws(Invalid) {
        guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
            throw Invalid(description: "--tcp must be HOST:PORT, not \(address)")
        }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.host = host.isEmpty ? "0.0.0.0" : String(host)
        self.port = Int(port)
        do {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
            configuration.minimumTLSVersion = .tlsv12
            configuration.trustRoots = .file(authority)
            // A client's name says nothing; its certificate does.
            configuration.certificateVerification = .noHostnameVerification
            tls = try NIOSSLContext(configuration: configuration)
        } catch {
            throw Invalid(
                description: "the API cannot be served on \(address): --tls-ca \(authority), --tls-cert \(certificate) or "
                    + "--tls-key \(key) is not a PEM file as it must be (\(error))")
        }
    }
}
