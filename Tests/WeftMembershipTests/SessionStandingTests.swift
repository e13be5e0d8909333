import Testing
import WeftMembership

@Suite("How a node stands with its managers")
struct SessionStandingTests {
    @Test("A session that opens makes up for what was before")
    func opens() {
        var standing = SessionStanding()
        #expect(!standing.isConnected && standing.problem.isEmpty)
        standing.ended(with: "a:1", reason: "no answer", isRefused: true)
        #expect(!standing.isConnected && standing.isRefused && standing.problem == "no answer" && standing.manager == "a:1")
        standing.opened(with: "b:1")
        #expect(standing.isConnected && !standing.isRefused && standing.problem.isEmpty && standing.manager == "b:1")
    }

    @Test("What the manager said last is the reason, for that session alone")
    func farewell() {
        var standing = SessionStanding()
        standing.opened(with: "a:1")
        standing.said(farewell: "the node was removed")
        standing.ended(with: "a:1", reason: "the connection was closed", isRefused: false)
        #expect(standing.problem == "the manager at a:1 ended the session: the node was removed")
        standing.ended(with: "a:1", reason: "nothing listens there", isRefused: false)
        #expect(standing.problem == "nothing listens there")
    }
}
