/// What kind of failure an error is, whoever tells it: the API, gRPC and a program's exit code are each made from this.
package enum ErrorKind: Hashable, Sendable {
    /// What was asked for makes no sense, or not as things stand.
    case invalid
    /// What is in the way is about to go by itself: the same goes well soon.
    case ending
    /// Who asks did not show that it may.
    case unauthorized
    /// It may not be done, whoever asks.
    case forbidden
    case notFound
    /// It collides with what is there.
    case conflict
    /// This version cannot do it.
    case unsupported
    /// Not now: the same may go well later, or on another node.
    case unavailable
    /// Something went wrong that the caller has no part in.
    case failed
}

/// An error that says of what kind it is, where it arises. Those that do not are `failed`.
package protocol KindedError: Error, CustomStringConvertible {
    var errorKind: ErrorKind { get }
    /// For the user: what is wrong, and what to do.
    var sentence: String { get }
}

extension KindedError {
    package var sentence: String { description }
}
