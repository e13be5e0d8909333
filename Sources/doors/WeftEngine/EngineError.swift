/// What a request to the container engine can end in besides an answer.
package enum EngineError: Error, Hashable, CustomStringConvertible {
    /// Nobody listens at the socket, or it does not exist.
    case absent(path: String)
    /// Somebody listens, but does not answer in the time there is.
    case silent(path: String)
    /// The engine refused: an HTTP status and its sentence.
    case refused(status: Int, message: String)
    /// The connection ended, or what came is not what the Engine API says.
    case broken(reason: String)

    package var description: String {
        switch self {
        case .absent(let path): "no container engine listens at \(path)"
        case .silent(let path): "the container engine at \(path) does not answer"
        case .refused(_, let message): message
        case .broken(let reason): "the container engine gave no whole answer: \(reason)"
        }
    }

    /// The HTTP status when the engine refused.
    package var status: Int? { if case .refused(let status, _) = self { status } else { nil } }
}
