package import WeftModel

extension AttachError: KindedError {
    package var errorKind: ErrorKind {
        switch self {
        case .networkNotFound, .endpointNotFound: .notFound
        case .notAttachable: .forbidden
        case .networkAmbiguous, .badName, .badMAC, .noIPv6, .noSubnet: .invalid
        case .alreadyAttached, .macInUse, .addressRefused, .noFreeAddress, .networkRemoved, .sandboxGone, .detached, .endpointTaken:
            .conflict
        case .leaving: .unavailable
        case .datapath, .notSaved: .failed
        }
    }
}
