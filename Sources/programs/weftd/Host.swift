import WeftAPI
import WeftEngine
import WeftLinux
import WeftModel
import WeftNet

/// This host, as the swarm and the API describe it.
enum Host {
    @Sendable static func now() -> Instant { Instant(nanoseconds: HostSystem.wallClock) }

    /// The wall clock as it was when weftd started, and on from there without being set: for all that waits. It stands still
    /// while the machine sleeps, as what it would wait for does.
    @Sendable static func steadyNow() -> Instant { Instant(nanoseconds: HostSystem.monotonicClock + steadyOffset) }
    private static let steadyOffset = HostSystem.wallClock - HostSystem.monotonicClock

    /// The host's own routes are among it, so that no overlay pool covers them.
    static func describe(dataPathAddress: IPv4Address? = nil, trust: TrustInformation? = nil) throws -> NodeDescription {
        var description = NodeDescription(
            hostname: HostSystem.hostname, architecture: HostSystem.architecture,
            nanoCPUs: Int64(HostSystem.processorCount) * 1_000_000_000, memoryBytes: HostSystem.memoryBytes,
            weftVersion: weftVersion)
        let interfaces = try HostInterfaces.read()
        description.routes = NodeDescription.reported(routes: interfaces.routedPrefixes)
        description.underlayMTU = dataPathAddress.flatMap { interfaces.mtu(ofAddress: $0) }
        description.trust = trust
        let words = engine.words
        description.engineVersion = words?.version ?? ""
        description.engineLabels = words.flatMap { $0.labels.isEmpty ? nil : $0.labels }
        return description
    }

    static func information(stateDirectory: String) -> HostInformation {
        let release = osRelease()
        let description =
            (try? describe())
            ?? NodeDescription(
                hostname: HostSystem.hostname, architecture: HostSystem.architecture, nanoCPUs: 0, memoryBytes: 0,
                weftVersion: weftVersion)
        return HostInformation(
            description: description, operatingSystem: release["PRETTY_NAME"] ?? "Linux",
            operatingSystemVersion: release["VERSION_ID"] ?? "", kernelVersion: HostSystem.kernelRelease,
            stateDirectory: stateDirectory)
    }

    private static func osRelease() -> [String: String] {
        guard let text = try? FileSystem.readText("/etc/os-release") else { return [:] }
        var values: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            values[String(parts[0])] = String(parts[1].filter { $0 != "\"" })
        }
        return values
    }

    /// An address as the operator gave it, which must be one of this host's; nil: the host's only or default one.
    static func address(_ given: HostAddress?, option: String) throws -> IPv4Address {
        let interfaces = try HostInterfaces.read()
        switch given {
        case .address(let address):
            guard interfaces.link(with: address) != nil else {
                throw HostAddressError.notHere(option: option, address)
            }
            return address
        case .interface(let name):
            guard interfaces.link(name: name) != nil else {
                throw HostAddressError.noInterface(option: option, name)
            }
            guard let address = interfaces.address(ofInterface: name) else {
                throw HostAddressError.noAddress(option: option, interface: name)
            }
            return address
        case nil:
            guard let address = interfaces.defaultAddress else {
                throw HostAddressError.noDefault(option: option)
            }
            return address
        }
    }
}

/// Why an address of this host cannot be used; `option` is how the operator gives one.
enum HostAddressError: KindedError, Hashable {
    case notHere(option: String, IPv4Address)
    case noInterface(option: String, String)
    case noAddress(option: String, interface: String)
    case noDefault(option: String)

    var errorKind: ErrorKind { .invalid }

    var description: String {
        switch self {
        case .notHere(let option, let address): "\(option) \(address) is no address of this host; `ip address` lists them"
        case .noInterface(let option, let name): "\(option) \(name): this host has no such interface; `ip link` lists them"
        case .noAddress(let option, let interface): "\(option) \(interface): the interface has no IPv4 address"
        case .noDefault(let option):
            "could not choose an address of this host: it has no default route; give one with \(option)"
        }
    }
}
