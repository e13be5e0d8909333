/// What runs in a task. Of an engine's container all of it counts, of a sandbox of Weft's own what `TaskSpec.Runtime` takes.
package struct ContainerSpec: Hashable, Sendable, Codable {
    /// As given; empty for a sandbox.
    package var image: String
    /// A sandbox's root file system, by its path on every node; nil: the host's.
    package var rootfs: String?
    package var labels: [String: String] = [:]
    /// Replaces the image's entry point.
    package var command: [String] = []
    package var arguments: [String] = []
    package var hostname = ""
    package var environment: [String] = []
    package var directory = ""
    package var user = ""
    package var groups: [String] = []
    package var privileges: Privileges?
    /// Nil: the engine's default.
    package var usesInit: Bool?
    package var stopSignal = ""
    package var hasTerminal = false
    package var opensStandardInput = false
    package var isReadOnly = false
    package var mounts: [Mount] = []
    /// Between the stop signal and the end by force, in nanoseconds; nil: ten seconds.
    package var stopGracePeriod: Int64?
    package var healthcheck: Healthcheck?
    /// Lines of /etc/hosts: `address name…`.
    package var hosts: [String] = []
    package var dns = ResolverSettings()
    package var secrets: [FileReference] = []
    package var configs: [FileReference] = []
    package var isolation = ""
    package var sysctls: [String: String] = [:]
    package var addedCapabilities: [String] = []
    package var droppedCapabilities: [String] = []
    package var limits: [ProcessLimit] = []
    package var oomScoreAdjustment: Int64 = 0
    /// What the engine is to show the image's registry (`X-Registry-Auth` as it was given); nil: nothing. Empty in what a node knows of
    /// its tasks from before a restart: there was something, which is not in its file.
    package var registryCredentials: Secret?

    package init(image: String = "") { self.image = image }

    package static let defaultStopGracePeriod: Int64 = 10_000_000_000
    /// Credentials for a registry may have as many bytes.
    package static let maxCredentialsBytes = 16 << 10
}

extension ContainerSpec {
    package struct Privileges: Hashable, Sendable, Codable {
        package struct SELinux: Hashable, Sendable, Codable {
            package var isDisabled = false
            package var user = ""
            package var role = ""
            package var type = ""
            package var level = ""
            package init() {}
        }
        package var selinux: SELinux?
        /// `default`, `unconfined` or `custom`; nil: as the engine does.
        package var seccompMode: String?
        /// A profile's JSON in base 64, with `custom`.
        package var seccompProfile: String?
        /// `default` or `disabled`; nil: as the engine does.
        package var appArmorMode: String?
        package var noNewPrivileges = false
        package init() {}
    }

    package struct Mount: Hashable, Sendable, Codable {
        package enum Kind: String, Hashable, Sendable, Codable { case bind, volume, tmpfs, npipe, cluster, image }
        package var kind = Kind.volume
        package var source = ""
        package var target: String
        package var isReadOnly = false
        package var consistency = ""
        /// `rprivate`, `shared`, …; nil: nothing said.
        package var propagation: String?
        package var isNonRecursive = false
        package var createsSource = false
        package var volumeLabels: [String: String] = [:]
        package var volumeNoCopy = false
        package var volumeSubpath = ""
        package var volumeDriver: LogDriver?
        package var tmpfsSizeBytes: Int64 = 0
        /// As of chmod(2); 0: nothing said.
        package var tmpfsMode: UInt32 = 0
        package init(target: String) { self.target = target }
    }

    package struct Healthcheck: Hashable, Sendable, Codable {
        /// `NONE`, or `CMD` and words, or `CMD-SHELL` and a line; empty: the image's.
        package var test: [String] = []
        /// In nanoseconds, as what follows; 0: the image's, or the engine's.
        package var interval: Int64 = 0
        package var timeout: Int64 = 0
        package var startPeriod: Int64 = 0
        package var startInterval: Int64 = 0
        /// 0: the image's, or the engine's.
        package var retries: Int64 = 0
        package init() {}
    }

    package struct ResolverSettings: Hashable, Sendable, Codable {
        package var nameservers: [String] = []
        package var search: [String] = []
        package var options: [String] = []
        package init() {}
    }

    package struct ProcessLimit: Hashable, Sendable, Codable {
        package var name: String
        package var soft: Int64
        package var hard: Int64
        package init(name: String, soft: Int64, hard: Int64) {
            self.name = name
            self.soft = soft
            self.hard = hard
        }
    }

    /// A secret or a config that the task gets as a file.
    package struct FileReference: Hashable, Sendable, Codable {
        /// Of the secret or config.
        package var id: String
        package var name: String
        /// Below /run/secrets or / where it is no path; nil: the engine itself uses it (a credential spec).
        package var target: String?
        /// As of chown(1): a number.
        package var uid = "0"
        package var gid = "0"
        /// As of chmod(2).
        package var mode: UInt32 = 0o444
        package init(id: String, name: String, target: String?) {
            self.id = id
            self.name = name
            self.target = target
        }
    }
}
