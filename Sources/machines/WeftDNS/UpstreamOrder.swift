/// In which order resolvers are believed (`UpstreamRace`): as `resolv.conf` names them, but who said nothing while there was time comes
/// last for a while. So a resolver that never answers holds up one negative answer, not each.
package struct UpstreamOrder<Server: Hashable & Sendable>: Sendable {
    /// After this a silent one gets its place back.
    package static var penalty: Duration { .seconds(30) }
    /// Silent ones that are remembered: containers may name resolvers of their own, without end.
    private static var most: Int { 1024 }

    private var silent: [Server: Duration] = [:]

    package init() {}

    package mutating func ordered(_ servers: [Server], now: Duration) -> [Server] {
        guard !silent.isEmpty else { return servers }
        silent = silent.filter { $0.value > now }
        return servers.filter { silent[$0] == nil } + servers.filter { silent[$0] != nil }
    }

    package mutating func noteSilence(of server: Server, now: Duration) {
        guard silent[server] != nil || silent.count < Self.most else { return }
        silent[server] = now + Self.penalty
    }

    package mutating func noteAnswer(of server: Server) { silent[server] = nil }
}
