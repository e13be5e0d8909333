import Glibc

/// What can go wrong with a sandbox, told to its user.
package enum SandboxError: Error, Equatable, CustomStringConvertible {
    /// The spec cannot be used; the text says why.
    case invalidSpec(String)
    case notFound(String)
    /// Several sandboxes begin with these characters.
    case ambiguous(String)
    case nameTaken(String)
    /// An operation that needs a sandbox that has ended.
    case stillRunning(String)
    /// There is no supervisor to talk to.
    case notRunning(String)
    /// Its supervisor is there and does not answer.
    case silent(String)
    /// The supervisor refused, with an exit code in Docker's manner (125, 126, 127).
    case refused(code: Int32, reason: String)
    /// The supervisor ended or said something unexpected in the middle of a conversation.
    case connectionLost
    /// A system call failed.
    case system(String, errno: Int32)

    package var description: String {
        switch self {
        case .invalidSpec(let reason): reason
        case .notFound(let name): "no such sandbox: \(name)"
        case .ambiguous(let prefix): "more than one sandbox id begins with \(prefix); give more characters"
        case .nameTaken(let name):
            "the sandbox name \(name) is already in use; remove that sandbox (weft rm \(name)) or choose another name"
        case .stillRunning(let name): "sandbox \(name) is running; stop it first"
        case .notRunning(let name): "sandbox \(name) is not running"
        case .silent(let name):
            "the supervisor of sandbox \(name) does not answer: it is stopped or hangs; `weft rm -f` ends it with its sandbox"
        case .refused(_, let reason): reason
        case .connectionLost: "the connection to the sandbox's supervisor was lost"
        case .system(let what, let code): "\(what): \(String(cString: strerror(code)))"
        }
    }
}
