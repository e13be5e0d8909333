package import WeftModel
package import WeftNet

/// `POST /weft/v1/sandboxes`.
package struct SandboxCreateRequest: Hashable, Sendable {
    /// Nil: the backend chooses one. A name that is taken on this node is refused with `.sandboxExists`.
    package var name: String?
    /// Nil: the first 12 characters of the id.
    package var hostname: String?
    /// The program and its arguments; never empty.
    package var command: [String]
    /// `NAME=value` each.
    package var environment: [String] = []
    /// A directory to be the sandbox's `/`. Nil: the host's.
    package var rootFS: String?
    /// Nil: `/`.
    package var workingDirectory: String?
    package var tty = false
    package var openStdin = false
    /// Remove the sandbox as soon as it has exited.
    package var autoRemove = false
    /// Upstream resolvers instead of the host's. The sandbox itself always asks weftd.
    package var dns: [IPv4Address] = []
    /// In the order that makes eth0, eth1, …; no network twice.
    package var networks: [EndpointSpec] = []
    package init(command: [String]) { self.command = command }
}

package struct SandboxCreated: Hashable, Sendable {
    package let id: SandboxID
    package let name: String
    /// The shim's unix socket: attach, exec, wait.
    package let socket: String
    /// The sandbox's directory: log, settings.
    package let directory: String
    /// Sentences for the user.
    package var warnings: [String]
    package init(id: SandboxID, name: String, socket: String, directory: String, warnings: [String] = []) {
        self.id = id
        self.name = name
        self.socket = socket
        self.directory = directory
        self.warnings = warnings
    }
}

/// A sandbox of this node, as listed and inspected.
package struct SandboxSummary: Hashable, Sendable {
    package enum State: String, Hashable, Sendable { case created, running, exited }

    package let id: SandboxID
    package var name: String
    package var hostname: String
    package var command: [String]
    package var createdAt: Instant
    package var startedAt: Instant?
    package var finishedAt: Instant?
    package var state: State
    /// Meaningful once exited.
    package var exitCode = 0
    /// The first process in the host's PID namespace; 0 unless running.
    package var pid = 0
    package var socket: String
    package var directory: String
    package var endpoints: [EndpointSummary] = []

    package init(
        id: SandboxID, name: String, hostname: String, command: [String], createdAt: Instant, state: State,
        socket: String, directory: String
    ) {
        self.id = id
        self.name = name
        self.hostname = hostname
        self.command = command
        self.createdAt = createdAt
        self.state = state
        self.socket = socket
        self.directory = directory
    }
}

/// An endpoint of a sandbox, with what its network adds.
package struct EndpointSummary: Hashable, Sendable {
    package let endpoint: Endpoint
    package let networkName: String
    /// Nil on an internal network, which has no way out.
    package let gateway: IPv4Address?
    package let prefixLength: Int
    /// Nil where the endpoint has no IPv6 address.
    package let prefixLength6: Int?

    package init(_ endpoint: Endpoint, on network: Network) {
        self.endpoint = endpoint
        networkName = network.spec.name
        gateway = network.spec.isInternal ? nil : network.gateway
        prefixLength = network.subnet.length
        prefixLength6 = endpoint.ipv6 == nil ? nil : network.subnet6?.length
    }
}
