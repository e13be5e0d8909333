import WeftModel
import WeftNet

/// Who is about to have an address that the engine asks for: it does not say, but others may know.
package enum Comer: Hashable, Sendable {
    /// Nobody asked weftd to start a container: one that its engine restarts by itself, most likely.
    case unknown
    /// Containers that somebody is having started now, as their ids, the beginnings of those, or their names.
    case among([String])
}

/// Who had which address of a subnet last. What comes back gets its address back, as long as that is free.
struct FormerHolders: Hashable, Sendable {
    private struct Holding: Hashable {
        let address: IPAddress
        let name: String
        let end: Instant
    }

    /// How soon an engine restarts a container that died, at the latest.
    private static let restartTime: Duration = .seconds(60)

    private var bySandbox: [SandboxID: Holding] = [:]
    /// The newest only, so that there are no more holders than addresses.
    private var byAddress: [IPAddress: SandboxID] = [:]

    mutating func note(_ sandbox: SandboxID, name: String, address: IPAddress, now: Instant) {
        forget(sandbox)
        if let other = byAddress[address] { forget(other) }
        bySandbox[sandbox] = Holding(address: address, name: name, end: now)
        byAddress[address] = sandbox
    }

    mutating func forget(_ sandbox: SandboxID) {
        if let holding = bySandbox.removeValue(forKey: sandbox) { byAddress[holding.address] = nil }
    }

    func address(of sandbox: SandboxID) -> IPAddress? { bySandbox[sandbox]?.address }

    /// The address of the one holder that may be meant; nil where several may, or none.
    func address(of comer: Comer, now: Instant) -> IPAddress? {
        switch comer {
        case .among(let texts):
            guard let text = texts.first, texts.count == 1 else { return nil }
            return only { $0.rawValue.hasPrefix(text) || $1.name == text }
        case .unknown:
            return only { now - $1.end < Self.restartTime }
        }
    }

    private func only(_ isMeant: (SandboxID, Holding) -> Bool) -> IPAddress? {
        var found: IPAddress?
        for (sandbox, holding) in bySandbox where isMeant(sandbox, holding) {
            if found != nil { return nil }
            found = holding.address
        }
        return found
    }
}
