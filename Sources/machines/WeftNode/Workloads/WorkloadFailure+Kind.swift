package import WeftModel

extension WorkloadFailure: KindedError {
    package var errorKind: ErrorKind {
        switch self {
        case .notFound: .notFound
        case .exists, .alreadyThere, .otherNamespace, .isRunning, .ended, .removed: .conflict
        case .noSwarm, .busy: .unavailable
        case .unavailable: .failed
        case .step(let failure): (failure.error as? any KindedError)?.errorKind ?? .failed
        }
    }
}
