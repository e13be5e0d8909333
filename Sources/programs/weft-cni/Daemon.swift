import NIOHTTP1
import WeftHTTP
import WeftText

/// weftd's API over its unix socket, a connection per request.
struct Daemon {
    let socket: String

    struct Answer {
        let status: Int
        let body: JSON
        /// weftd's own sentence when it refused.
        var message: String {
            if case .string(let text)? = body.member("message") { return text }
            return "weftd answered with status \(status)"
        }
    }

    /// Without an answer; weftd's own limit for an attach is five seconds.
    private static let patience: Duration = .seconds(30)

    func request(_ method: HTTPMethod, _ path: String, body: JSON? = nil) async throws(CNIError) -> Answer {
        let client = UnixHTTPClient(socketPath: socket, host: "weftd")
        let answer: HTTPAnswer
        do {
            answer = try await client.whole(HTTPRequest(method, path, body: body?.utf8), within: Self.patience)
        } catch {
            throw unreachable(error)
        }
        guard !answer.body.isEmpty else { return Answer(status: answer.status, body: .null) }
        do { return Answer(status: answer.status, body: try JSON(parsing: answer.body)) } catch {
            throw unreachable("the answer is \(error)")
        }
    }

    private func unreachable(_ failure: any Error) -> CNIError {
        switch failure as? HTTPFailure {
        case .absent: unreachable("nobody listens there")
        case .forbidden: unreachable("permission denied")
        case .silent: unreachable("no answer in time")
        case .broken(let reason): unreachable(reason)
        case nil: unreachable("\(failure)")
        }
    }

    /// weftd is not there now, and may be soon.
    private func unreachable(_ reason: String) -> CNIError {
        CNIError(.tryAgainLater, "cannot talk to weftd at \(socket): \(reason)", details: "is weftd running on this host?")
    }
}
