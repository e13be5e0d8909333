import Glibc
import NIOCore

/// What a request can end in besides an answer.
package enum HTTPFailure: Error, Hashable {
    /// Nobody listens at the socket, or it does not exist.
    case absent
    /// The socket is there and this user may not open it.
    case forbidden
    /// Somebody listens, but does not answer in the time there is.
    case silent
    /// The connection ended, or what came is not a whole answer in HTTP.
    case broken(reason: String)

    init(connecting error: IOError) {
        switch error.errnoCode {
        case ENOENT, ECONNREFUSED: self = .absent
        case EACCES, EPERM: self = .forbidden
        // It has not accepted any connection for long.
        case EAGAIN: self = .silent
        default: self = .broken(reason: error.description)
        }
    }
}
