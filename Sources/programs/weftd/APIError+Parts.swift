import WeftAPI
import WeftAgent
import WeftControl
import WeftIdentity
import WeftManager
import WeftMembership
import WeftModel
import WeftNode
import WeftSandbox

/// What becomes of the errors of all parts at the API's edge: the one place where they get a status.
extension APIError {
    init(of error: any Error) {
        self = switch error {
        case let error as APIError: error
        case let error as ControlError:
            switch error.kind {
            case .notFound: APIError(404, error.message)
            case .conflict: APIError(409, error.message)
            case .invalid, .failedPrecondition: APIError(400, error.message)
            case .forbidden: APIError(403, error.message)
            case .unavailable: APIError(503, error.message)
            case .outOfSequence: .outOfSequence
            }
        case let error as AttachError:
            switch error {
            case .networkNotFound, .endpointNotFound: APIError(404, "\(error)")
            case .notAttachable: APIError(403, "\(error)")
            case .networkAmbiguous, .badName, .badMAC: APIError(400, "\(error)")
            case .alreadyAttached, .macInUse, .addressRefused: APIError(409, "\(error)")
            case .noFreeAddress, .networkRemoved, .sandboxGone, .detached: APIError(409, "\(error)")
            default: APIError(500, "\(error)")
            }
        case let error as SandboxError:
            switch error {
            case .invalidSpec, .ambiguous: APIError(400, "\(error)")
            case .notFound: APIError(404, "\(error)")
            case .nameTaken, .stillRunning, .notRunning: APIError(409, "\(error)")
            case .refused(let code, let reason): APIError(code == 125 ? 500 : 400, reason)
            default: APIError(500, "\(error)")
            }
        case let error as AttachmentError:
            switch error {
            case .noNamespace: APIError(400, "\(error)")
            case .otherNamespace, .exists: APIError(409, "\(error)")
            case .notFound: APIError(404, "\(error)")
            }
        case let error as MembershipError: APIError(of: error)
        case let error as RootRefusal: .badRequest("rpc error: code = InvalidArgument desc = \(error)")
        case is HostAddressError: .badRequest("\(error)")
        case is NotInSwarm, is ManagerBusy, is AgentBusy: APIError(503, "\(error)")
        default: APIError(500, "\(error)")
        }
    }

    /// Docker's words where it has any, as clients compare them.
    private init(of error: MembershipError) {
        self =
            switch error {
            case .alreadyInSwarm: .alreadyInSwarm
            case .changing, .cannotTakePart: APIError(503, "\(error)")
            case .availability: .unavailable("\(error)")
            case .lastManager: .lastManager
            case .locked: .lockedLeave
            case .notLocked: .notLocked
            case .noUnlockKey: .badUnlockKey
            case .wrongUnlockKey: .wrongUnlockKey
            }
    }
}
