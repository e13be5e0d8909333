/// Why a certificate, a key or a signing request is of no use.
package enum IdentityError: Error, Hashable, CustomStringConvertible {
    /// `what` is a certificate, a key, …; `reason` comes from the parser.
    case unreadable(what: String, reason: String)
    case signatureInvalid
    /// What was signed is not what came.
    case wrongSignature
    case keyKindUnsupported
    case keyMismatch
    /// The certificate's subject lacks the named part, or it has no meaning.
    case subjectIncomplete(part: String)
    /// No chain leads from the certificate to one of the roots.
    case untrusted

    package var description: String {
        switch self {
        case .unreadable(let what, let reason): "the \(what) cannot be read: \(reason)"
        case .signatureInvalid: "the certificate request is not signed with its own key"
        case .wrongSignature: "the signature is not of the certificate's key, or not of these words"
        case .keyKindUnsupported: "only keys of ECDSA on the curve P-256 are used here"
        case .keyMismatch: "the certificate belongs to another key"
        case .subjectIncomplete(let part): "the certificate does not say its \(part)"
        case .untrusted: "the certificate is not of this swarm, or has expired"
        }
    }
}
