package import WeftModel
package import WeftSandbox

extension AgentUnavailable: KindedError {
    package var errorKind: ErrorKind { .unavailable }
}

extension AttachmentError: KindedError {
    package var errorKind: ErrorKind {
        switch self {
        case .noNamespace: .invalid
        case .otherNamespace, .exists: .conflict
        case .notFound: .notFound
        }
    }
}

extension PreparedContainerError: KindedError {
    package var errorKind: ErrorKind {
        switch self {
        case .portTaken: .failed
        case .noWayOut: .invalid
        case .alreadyConnected: .forbidden
        case .notConnected: .notFound
        }
    }
}

extension SandboxError: KindedError {
    package var errorKind: ErrorKind {
        switch self {
        case .invalidSpec, .ambiguous: .invalid
        case .notFound: .notFound
        case .nameTaken, .stillRunning, .notRunning: .conflict
        case .refused(let code, _): code == 125 ? .failed : .invalid
        case .silent, .connectionLost, .system: .failed
        }
    }
}
