import NIOPosix

/// The event loops, a thread each: what floods one door is not in the way of another. The API has the process's own, as do
/// calls to the container engine. A loop is made when it is first used, and lasts as long as the process.
enum EventLoops {
    /// Names, for whatever sandbox asks.
    static let names = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    /// Port 2377, and this node's session with a manager.
    static let swarm = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    /// The container engine's plugin calls.
    static let plugin = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}
