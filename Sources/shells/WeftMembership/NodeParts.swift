package import WeftAPI
package import WeftIdentity
package import WeftModel
package import WeftNet

/// A node's life in one swarm, from its beginning to its end.
package protocol MemberLife: Sendable {
    var membership: SavedMembership { get }
    var node: NodeID { get }
    /// The node runs a manager, which a locked one does not.
    var isManaging: Bool { get }
    /// Tells the manager that this node leaves, and waits a little for its word.
    func sayGoodbye() async
    /// Ends everything but the kernel's part, which goes on.
    func stop() async
}

/// What a node is made of, as far as `NodeLifecycle` has it made.
package protocol NodeParts: Sendable {
    associatedtype Member: MemberLife
    /// What a member takes part with: opened before the life without it ends.
    associatedtype Participation: Sendable

    /// An address of this host as the operator gave it with `option`; nil: the one that it has anyway.
    func address(_ given: HostAddress?, option: String) throws -> IPv4Address
    /// The address that packets to another host leave from.
    func sourceAddress(towards host: String) throws -> IPv4Address?

    /// Fills the store of a new swarm, and makes its first manager's identity.
    func found(_ request: SwarmInitRequest, as membership: SavedMembership, _ seal: ManagerSeal) async throws -> NodeIdentity
    /// Has a manager let this node in. Throws `JoinFailure` when another manager may.
    func join(_ token: Secret, manager: String, as availability: NodeAvailability) async throws -> NodeIdentity

    /// Opens what it takes to take part; `seal` is a manager's. Nothing is open when it throws.
    func prepare(
        _ membership: SavedMembership, _ credentials: NodeCredentials, _ seal: ManagerSeal?
    ) async throws -> Participation
    /// Begins a life, without session and role when there is no participation. Nothing goes on when it throws.
    func begin(_ membership: SavedMembership, _ node: NodeID, _ participation: Participation?) async throws -> Member
    /// Takes out of the kernel what a membership put there.
    func clearKernel() async throws
}

/// All on this host that has endpoints: it goes along with the memberships.
package protocol MemberFollowers<Member>: Sendable {
    associatedtype Member
    /// Takes up what earlier runs left.
    func start() async
    /// Looks after it until cancelled.
    func run() async
    func stop() async
    /// A member began.
    func follow(_ member: Member) async
    /// What is answered inside containers ends with the member that answers it.
    func closeDoors() async
    /// There is no member any more.
    func release() async
    /// The swarm was left for good.
    func forget() async
}

/// A manager did not let this node in, with what to do about it.
package struct JoinFailure: Error, Hashable, CustomStringConvertible {
    package let description: String
    package init(_ error: some Error) { description = "\(error)" }
}
