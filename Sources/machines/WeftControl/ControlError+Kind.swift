package import WeftModel

extension ControlError: KindedError {
    package var errorKind: ErrorKind {
        switch kind {
        case .notFound: .notFound
        case .conflict: .conflict
        case .invalid, .failedPrecondition: .invalid
        case .ending: .ending
        case .forbidden: .forbidden
        case .unavailable: .unavailable
        // As Docker has it.
        case .outOfSequence: .failed
        }
    }
}
