import Testing
import WeftAPI
import WeftModel
import WeftText

@Suite struct ServiceRefusalTests {
    /// A member of `ContainerSpec`, of `TaskTemplate`, or of the spec, and what is said of it.
    @Test(arguments: [
        (#""Privileges":{"CredentialSpec":{"File":"x"}}"#, 501, "ContainerSpec.Privileges.CredentialSpec is not available"),
        (#""Isolation":"hyperv""#, 501, "Isolation \"hyperv\" is Windows'"),
        (#""Mounts":[{"Type":"npipe","Target":"x"}]"#, 501, "npipe is Windows'"),
        (#""Mounts":[{"Type":"cluster","Target":"/x"}]"#, 501, "Mounts[0].Type cluster is not available"),
        (#""Mounts":[{"Type":"bind","Target":"/x","BindOptions":{"ReadOnlyForceRecursive":true}}]"#, 501, "ReadOnlyForceRecursive"),
        (#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["noexec"]]}}]"#, 501, "TmpfsOptions.Options"),
        (#""Mounts":[{"Type":"image","Target":"/x","ImageOptions":{"Subpath":"a"}}]"#, 501, "ImageOptions.Subpath"),
        (#""Mounts":[{"Type":"smb","Target":"/x"}]"#, 400, "invalid MountType: \"smb\""),
        (#""Mounts":[{"Type":"tmpfs","Target":"/x"},{"Type":"tmpfs","Target":"/x"}]"#, 400, "duplicate mount point: /x"),
        (#""Secrets":[{"SecretID":"x","SecretName":"x"}]"#, 400, "malformed file secret reference, no target provided"),
        (#""Secrets":[{"File":{"Name":"k"},"SecretID":"x","SecretName":"no"}]"#, 400, "desc = secret not found: no"),
        (#""Configs":[{"File":{"Name":"k"}}]"#, 400, "malformed config reference"),
        (#""Configs":[{"Runtime":{},"File":{"Name":"k"},"ConfigID":"x","ConfigName":"no"}]"#, 400, "desc = config not found: no"),
        (#""Healthcheck":{"Interval":-1}"#, 400, "ContainerSpec: Interval in HealthConfig cannot be negative"),
        (#""StopGracePeriod":-1"#, 400, "stop-grace-period cannot be negative"),
        (#""TTY":"yes""#, 400, "TaskTemplate.ContainerSpec.TTY must be true or false"),
        (#""Rootfs":"/x""#, 400, "ContainerSpec.Rootfs is a sandbox's"),
    ])
    func `of a container`(member: String, status: Int, text: String) async throws {
        try await Self.refused(#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"bb",\#(member)}}}"#, status, text)
    }

    @Test(arguments: [
        (#""Runtime":"plugin""#, 501, "TaskTemplate.Runtime \"plugin\" is not available"),
        (#""PluginSpec":{"Name":"x"}"#, 501, "PluginSpec is not available"),
        (#""NetworkAttachmentSpec":{"ContainerID":"x"}"#, 501, "NetworkAttachmentSpec is not available"),
        (#""Resources":{"Reservations":{"GenericResources":[{}]}}"#, 400, "a generic resource has a Kind"),
        (#""Resources":{"SwapBytes":5}"#, 501, "Resources.SwapBytes is not available"),
        (#""Resources":{"Limits":{"NanoCPUs":5}}"#, 400, "invalid cpu value 5e-09: Must be at least 0.001"),
        (#""Resources":{"Limits":{"MemoryBytes":5}}"#, 400, "invalid memory value 5: Must be at least 4MiB"),
        (#""RestartPolicy":{"Condition":"often"}"#, 400, "invalid RestartCondition: \"often\""),
        (#""RestartPolicy":{"Delay":-1}"#, 400, "TaskSpec: restart-delay cannot be negative"),
        (#""Networks":[{"Target":"nosuchnet"}]"#, 404, "network nosuchnet not found"),
        (#""Networks":[{"Target":"n"},{"Target":"n"}]"#, 400, "named twice"),
        (#""Networks":[{"Target":"in"}]"#, 400, "Service cannot be explicitly attached to the ingress network \"in\""),
        (#""Networks":[{"Target":"n","DriverOpts":{"weft.task":"b"}}]"#, 501, "DriverOpts holds weft.task"),
        (
            #""Networks":[{"Target":"n","DriverOpts":{"a":"b","com.docker.network.endpoint.ifname":"x"}}]"#, 501,
            "DriverOpts holds com.docker.network.endpoint.ifname"
        ),
        (#""Networks":[{"Target":"bridge","DriverOpts":{"a":"b"}}]"#, 501, "options for bridge are the engine's"),
        (#""ForceUpdate":-1"#, 400, "TaskTemplate.ForceUpdate must not be negative"),
    ])
    func `of a task`(member: String, status: Int, text: String) async throws {
        try await Self.refused(#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"bb"},\#(member)}}"#, status, text)
    }

    @Test(arguments: [
        (#""Mode":{"Global":{},"Replicated":{}}"#, 400, "must specify only one service mode"),
        (#""Mode":{"Replicated":{"Replicas":-1}}"#, 400, "Mode.Replicated.Replicas must not be negative"),
        (#""UpdateConfig":{"Order":"both"}"#, 400, "unrecognized update order both"),
        (#""UpdateConfig":{"FailureAction":"cry"}"#, 400, "unrecognized update failure action cry"),
        (#""RollbackConfig":{"MaxFailureRatio":1.5}"#, 400, "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1"),
        (#""EndpointSpec":{"Mode":"anycast"}"#, 400, "invalid EndpointSpec: \"anycast\""),
        (#""EndpointSpec":{"Ports":[{"PublishedPort":80}]}"#, 400, "EndpointSpec.Ports[0].TargetPort is missing"),
        (#""EndpointSpec":{"Ports":[{"TargetPort":70000}]}"#, 400, "TargetPort is 70000, which is no port"),
        (
            #""EndpointSpec":{"Ports":[{"TargetPort":1,"PublishedPort":80},{"TargetPort":2,"PublishedPort":80}]}"#, 400,
            "rpc error: code = InvalidArgument desc = EndpointSpec: duplicate published ports provided"
        ),
        (
            #""EndpointSpec":{"Mode":"dnsrr","Ports":[{"TargetPort":1}]}"#, 400,
            "EndpointSpec: port published with ingress mode can't be used with dnsrr mode"
        ),
        (#""Mode":{"GlobalJob":{}},"UpdateConfig":{}"#, 400, "update config is not supported for job-mode services"),
    ])
    func `of a service`(member: String, status: Int, text: String) async throws {
        try await Self.refused(#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"bb"}},\#(member)}"#, status, text)
    }

    @Test(arguments: [
        (#"{"TaskTemplate":{"ContainerSpec":{"Image":"bb"}}}"#, "desc = meta: name must be provided"),
        (#"{"Name":"x"}"#, "desc = ContainerSpec: image reference must be provided"),
        (#"{"Name":"x","TaskTemplate":{"Runtime":"sandbox","ContainerSpec":{}}}"#, "ContainerSpec.Command is missing"),
        (#"{"Name":"x","TaskTemplate":{"Runtime":"sandbox","ContainerSpec":{"Image":"bb","Args":["a"]}}}"#, "a sandbox has no image"),
        (#"{"Name":"x","TaskTemplate":{"ContainerSpec":{"Rootfs":"srv","Args":["a"]}}}"#, "ContainerSpec.Rootfs is \"srv\""),
        (
            #"{"Name":"x","TaskTemplate":{"Runtime":"sandbox","Networks":[{"Target":"host"}],"ContainerSpec":{"Args":["a"]}}}"#,
            "the network host is a container engine's"
        ),
    ])
    func `what is missing`(body: String, text: String) async throws { try await Self.refused(body, 400, text) }

    @Test(arguments: [
        (#""Mounts":[{"Type":"volume","Target":"/t"}]"#, 501, "ContainerSpec.Mounts of the type volume is not available for sandboxes"),
        (#""ReadOnly":true"#, 501, "ContainerSpec.ReadOnly is not available"),
        (#""Labels":{"a":"b"}"#, 501, "ContainerSpec.Labels is not available"),
        (#""Privileges":{"Seccomp":{"Mode":"default"}}"#, 501, "ContainerSpec.Privileges.Seccomp is not available"),
        (#""Privileges":{"AppArmor":{"Mode":"default"}}"#, 501, "ContainerSpec.Privileges.AppArmor is not available"),
        (#""Privileges":{"SELinuxContext":{"User":"a"}}"#, 501, "ContainerSpec.Privileges.SELinuxContext is not available"),
        (#""CapabilityAdd":["CAP_FLY"]"#, 400, "there is no capability CAP_FLY"),
        (#""Ulimits":[{"Name":"core","Soft":2,"Hard":1}]"#, 400, "the limit core cannot be 2"),
        (#""Sysctls":{"kernel.panic":"1"}"#, 400, "kernel.panic is not a setting of a sandbox's own"),
        (#""OomScoreAdj":5000"#, 400, "an OOM score is -1000 to 1000"), (#""StopSignal":"SIGNO""#, 400, "there is no signal SIGNO"),
        (#""Healthcheck":{"Interval":5000000000}"#, 400, "a health check needs a command"),
        (#""Mounts":[{"Type":"bind","Source":"a","Target":"/t"}]"#, 400, "give the absolute path"),
    ])
    func `of a sandbox`(member: String, status: Int, text: String) async throws {
        let body = #"{"Name":"x","TaskTemplate":{"Runtime":"sandbox","ContainerSpec":{"Args":["a"],\#(member)}}}"#
        try await Self.refused(body, status, text)
    }

    @Test func `secrets and configs that there are not, of a sandbox`() async throws {
        for (member, what) in [("Secrets", "Secret"), ("Configs", "Config")] {
            let file = #"{"File":{"Name":"k"},"\#(what)ID":"x","\#(what)Name":"no"}"#
            let body = #"{"Name":"x","TaskTemplate":{"Runtime":"sandbox","ContainerSpec":{"Args":["a"],"\#(member)":[\#(file)]}}}"#
            try await Self.refused(body, 400, "\(what.lowercased()) not found: no")
        }
    }

    private static func refused(_ body: String, _ status: Int, _ text: String) async throws {
        try await withServer { client, backend async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            _ = try await client.send("POST", "/networks/create", #"{"Name":"n","Driver":"overlay"}"#)
            _ = try await client.send("POST", "/networks/create", #"{"Name":"in","Driver":"overlay","Ingress":true}"#)
            let answer = try await client.send("POST", "/services/create", body)
            #expect(answer.status == status && answer.message?.contains(text) == true, "\(answer.status) \(answer.text)")
            #expect(backend.read { $0.services.isEmpty })
        }
    }
}
