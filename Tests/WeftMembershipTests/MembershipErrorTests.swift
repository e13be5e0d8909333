import Testing
import WeftAPI
import WeftMembership
import WeftModel

@Test(
    "Refusals of a change of membership reach clients as Docker's",
    arguments: [
        (MembershipError.alreadyInSwarm, APIError.alreadyInSwarm), (.lastManager, .lastManager), (.locked, .lockedLeave),
        (.notLocked, .notLocked), (.noUnlockKey, .badUnlockKey), (.wrongUnlockKey, .wrongUnlockKey),
        (.changing, APIError(503, "this node is just joining or leaving a swarm; try again in a moment")),
        (.cannotTakePart(reason: "a file is lost"), APIError(503, "a file is lost")),
    ])
func dockersWords(_ error: MembershipError, _ expected: APIError) {
    #expect(APIError(of: error) == expected)
}
