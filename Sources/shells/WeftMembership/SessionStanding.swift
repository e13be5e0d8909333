/// How a node stands with its managers: what its sessions, and its attempts at one, have come to.
package struct SessionStanding: Hashable, Sendable {
    package private(set) var isConnected = false
    /// The manager that was spoken to last; empty before the first.
    package private(set) var manager = ""
    /// Why the last session ended, empty while one is open.
    package private(set) var problem = ""
    /// The manager does not know this node any more.
    package private(set) var isRefused = false
    /// The manager's last word in the session.
    private var farewell: String?

    package init() {}

    package mutating func opened(with manager: String) {
        self = SessionStanding()
        isConnected = true
        self.manager = manager
    }

    /// The manager says why it is about to end the session, which tells more than how the connection ended.
    package mutating func said(farewell: String) { self.farewell = farewell }

    /// The session is over, or none came about. `reason`: a sentence of this end's.
    package mutating func ended(with manager: String, reason: String, isRefused: Bool) {
        let problem = farewell.map { "the manager at \(manager) ended the session: \($0)" } ?? reason
        self = SessionStanding()
        self.manager = manager
        self.problem = problem
        self.isRefused = isRefused
    }
}
