import WeftModel

extension APIError {
    /// What the client is told of an error: the one place where errors get a status.
    package init(of error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as any KindedError: self.init(error.errorKind.httpStatus, error.sentence)
        default: self.init(500, "\(error)")
        }
    }
}

extension ErrorKind {
    fileprivate var httpStatus: Int {
        switch self {
        case .invalid, .ending: 400
        case .unauthorized: 401
        case .forbidden: 403
        case .notFound: 404
        case .conflict: 409
        case .failed: 500
        case .unsupported: 501
        case .unavailable: 503
        }
    }
}
