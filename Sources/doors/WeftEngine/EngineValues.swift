/// A network as the engine shows it.
package struct EngineNetwork: Decodable, Sendable {
    package struct Attached: Decodable, Sendable {
        package let Name: String
        package let EndpointID: String
    }

    package let Id: String
    package let Name: String
    package let Driver: String
    package let Labels: [String: String]?
    package let Options: [String: String]?
    /// By container id; only in the answer about a single network.
    package let Containers: [String: Attached]?

    /// The cluster's network that this one stands for on this engine, if Weft made it.
    package var shadowOf: String? { Labels?[ShadowNetworks.label] }
    /// The same, if Weft or a user made it.
    package var clusterNetwork: String? { shadowOf ?? (Driver == ShadowNetworks.driver ? Options?[ShadowNetworks.option] : nil) }
}

/// A container, as the list shows it: what it is attached to, running or not.
package struct EngineContainerSummary: Decodable, Sendable {
    package struct Settings: Decodable, Sendable { package let Networks: [String: Attachment]? }
    package struct Attachment: Decodable, Sendable {
        package let NetworkID: String
        package let EndpointID: String
    }

    package let Id: String
    package let State: String
    package let NetworkSettings: Settings?
}

/// A container by itself.
package struct EngineContainer: Decodable, Sendable {
    package struct Settings: Decodable, Sendable {
        package let Networks: [String: Attachment]?
        /// The path of its network namespace while it runs.
        package let SandboxKey: String?
    }
    package struct Attachment: Decodable, Sendable {
        package let NetworkID: String
        /// Empty while the container does not run.
        package let EndpointID: String
        package let Aliases: [String]?
    }
    package struct Configuration: Decodable, Sendable { package let Hostname: String? }
    package struct Condition: Decodable, Sendable {
        package let Pid: Int32?
        package let Running: Bool?
        package let Paused: Bool?
    }
    package struct HostConfiguration: Decodable, Sendable {
        package struct Policy: Decodable, Sendable { package let Name: String? }
        package let Dns: [String]?
        package let NetworkMode: String?
        package let RestartPolicy: Policy?
    }

    package let Id: String
    /// With a slash in front.
    package let Name: String
    package let Config: Configuration?
    package let HostConfig: HostConfiguration?
    package let State: Condition?
    package let NetworkSettings: Settings

    /// Of its first process while it runs.
    package var process: Int32? { State?.Pid.flatMap { $0 > 0 ? $0 : nil } }
    /// What the engine calls its network namespace; without a word of it, the container's id.
    package var namespaceKey: String {
        NetworkSettings.SandboxKey?.split(separator: "/").last.map(String.init) ?? Id
    }
    package var isRunning: Bool { State?.Running == true || State?.Paused == true }
    /// The engine starts it again when it ends, if it ends in a certain way.
    package var mayRestart: Bool { !["", "no"].contains(HostConfig?.RestartPolicy?.Name ?? "") }
    /// The network namespace that it was told to use.
    package var namespacePath: String? {
        guard let mode = HostConfig?.NetworkMode, mode.hasPrefix("ns:") else { return nil }
        return String(mode.dropFirst(3))
    }
}

/// A line of the engine's event stream.
package struct EngineEvent: Decodable, Sendable {
    package struct Subject: Decodable, Sendable {
        package let ID: String
        package let Attributes: [String: String]?
    }

    package let `Type`: String
    package let Action: String
    package let Actor: Subject
}
